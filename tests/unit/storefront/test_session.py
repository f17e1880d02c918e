"""The cookie of a session, and the refresh of its tokens."""

import base64
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import orjson
import pytest
from flask import Flask
from werkzeug.http import parse_cookie

from chassis import clock
from chassis.calls import Answer, ProblemResponse
from chassis.errors import NotAttempted
from chassis.settings import Settings
from chassis.web import cookies
from services.storefront import session
from services.storefront.session import COOKIE, Session

SECRET, NEXT = "s" * 32, "n" * 32
THREADS = 16


def encoded(data) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(data)).decode().rstrip("=")


def tokens(user="ada", number=1):
    access = f"{encoded({'alg': 'EdDSA'})}.{encoded({'sub': user})}.{'x' * 500}"
    return {"accessToken": access, "refreshToken": f"family.{number}", "expiresIn": 600}


def expiring(left_s=30, **fields):
    """A session whose access token has so many seconds left."""
    expires_at_s = (clock.now() + timedelta(seconds=left_s)).timestamp()
    return Session("ada", "access", "family.0", expires_at_s, **fields)


class Users:
    """The refresh route of `users`."""

    def __init__(self):
        self.asked, self.answers = [], Answer(200, tokens(), {})
        self.before = lambda: None

    def post(self, path, **options):
        self.asked.append((path, options["json"]))
        self.before()
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.fixture
def users(monkeypatch):
    fake = Users()
    monkeypatch.setattr(session, "users", fake)
    return fake


@pytest.fixture(autouse=True)
def secrets(monkeypatch):
    """Set the secrets of the platform."""

    def use(*given):
        known = dict(zip(("platform_secret", "platform_secret_accepted"), given, strict=False))
        found = Settings(**known)
        monkeypatch.setattr("chassis.keyed_hash.settings", lambda: found)

    use(SECRET)
    return use


def request_with(cookie):
    return Flask("shop").test_request_context(headers={"Cookie": f"{COOKIE}={cookie}"})


def sent(context):
    """The cookie that the response would set, "" for none."""
    header = context.request.environ.get("chassis.cookies", {}).get(COOKIE, ("", ""))[1]
    return parse_cookie(header).get(COOKIE, "") if header else ""


def read(cookie):
    with request_with(cookie):
        return session.current()


def test_cookie_hides_its_tokens_and_is_small_enough():
    with request_with("") as context:
        session.keep_cart("C" * 26, "t" * 43)
        session.sign_in(tokens())
        cookie = sent(context)
    assert all(text not in cookie for text in ("family", tokens()["accessToken"], encoded({"sub": "ada"})))
    assert len(cookie) < cookies.MAX_BYTES - 200
    found = read(cookie)
    assert (found.user_id, found.refresh_token, found.cart_id) == ("ada", "family.1", "C" * 26)


def test_secret_is_replaced_without_signing_anybody_out(secrets):
    cookie = session.encrypt(Session("ada"))
    secrets(NEXT, SECRET)
    assert read(cookie).user_id == "ada"
    renewed = session.encrypt(Session("ada"))
    secrets(NEXT)
    assert (read(renewed).user_id, read(cookie).user_id) == ("ada", "")


def test_cookie_that_is_not_ours_is_no_session():
    good = session.encrypt(Session("ada"))
    header, *rest = good.split(".")
    kid = orjson.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    foreign = [{"alg": "none"}, {"alg": 5}, {"enc": []}, {"crit": 5}, {"zip": "DEF"}, {"alg": "A256KW"}]
    headers = [encoded({"alg": "dir", "enc": "A256GCM", "kid": kid} | each) for each in foreign]
    headers += [encoded(each) for each in ([], 5, None, "x", {"kid": []}, {})]
    cookies = ["a", "..", "a.b.c.d.e", good[:-2], good + ".x", *(".".join([each, *rest]) for each in headers)]
    assert read(good).user_id == "ada"
    for cookie in cookies:
        assert read(cookie) == Session(), cookie


def test_token_is_refreshed_a_minute_before_it_expires(users):
    with request_with(session.encrypt(expiring(left_s=90))) as context:
        assert session.signed_in().access_token == "access"
        assert (users.asked, sent(context)) == ([], "")
    with request_with(session.encrypt(expiring(left_s=50, cart_id="c", cart_token="t"))) as context:
        assert session.signed_in().refresh_token == "family.1"
        kept = read(sent(context))
    assert users.asked == [("/api/auth/refresh", {"refreshToken": "family.0"})]
    assert (kept.refresh_token, kept.cart_id) == ("family.1", "c")


def test_requests_at_the_same_time_refresh_once(users, monkeypatch):
    others = threading.Semaphore(0)

    class Watched(Future):
        def result(self, timeout=None):
            others.release()
            return super().result(timeout)

    def wait_for_the_others():
        for _ in range(THREADS - 1):
            assert others.acquire(timeout=20)

    monkeypatch.setattr(session, "Future", Watched)
    users.before, cookie = wait_for_the_others, session.encrypt(expiring())

    def ask(_):
        with request_with(cookie):
            return session.signed_in().refresh_token

    with ThreadPoolExecutor(THREADS) as threads:
        assert set(threads.map(ask, range(THREADS))) == {"family.1"}
    assert len(users.asked) == 1 and not session._refreshes


def test_users_that_is_away_signs_nobody_out(users):
    users.answers = NotAttempted("users is away")
    with request_with(session.encrypt(expiring(left_s=30))) as context:
        assert session.signed_in().access_token == "access"
        assert sent(context) == ""
    with request_with(session.encrypt(expiring(left_s=-1))) as context:
        with pytest.raises(NotAttempted):
            session.signed_in()
        assert sent(context) == ""
    users.answers = ProblemResponse("users", 429, {}, {})
    with request_with(session.encrypt(expiring(left_s=-1))) as context, pytest.raises(ProblemResponse):
        session.signed_in()


def test_session_that_has_ended_keeps_the_cart_of_the_guest(users):
    users.answers = Answer(401, {}, {})
    with request_with(session.encrypt(expiring(cart_id="c", cart_token="t"))) as context:
        assert session.signed_in() is None
        assert read(sent(context)) == Session(cart_id="c", cart_token="t")


def test_sign_out_forgets_the_tokens_although_users_is_away(users):
    users.answers = NotAttempted("users is away")
    with request_with(session.encrypt(expiring())) as context:
        session.sign_out()
        assert session.current() == Session()
        assert "Max-Age=0" in context.request.environ["chassis.cookies"][COOKIE][1]
    assert users.asked == [("/api/auth/logout", {"refreshToken": "family.0"})]
