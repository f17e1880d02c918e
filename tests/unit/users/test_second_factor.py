"""The second factor: a code of an authenticator app or a recovery code, each used once."""

import pyotp
import pytest
from pydantic import SecretStr

from chassis import clock, keyed_hash
from chassis.errors import Forbidden
from chassis.settings import Settings
from chassis.testing import capture_logs
from chassis.web import limits
from chassis.web.auth import Caller
from services.users import application, credentials, repository, second_factor, sessions
from services.users.second_factor import NoSecondFactor, SecondFactorEnabled, SecondFactorRequired, WrongCode
from services.users.second_factor_api import ConfirmSecondFactor, confirm_second_factor, limit_codes
from services.users.settings import UsersSettings
from tests.unit.conftest import crashes

pytestmark = pytest.mark.usefixtures("stored_accounts")

PASSWORD = "correct horse battery"
EMAIL = "root@shop.example"
STEP_S = 30


class TooMany(Exception):
    """The rate limit of these tests."""


@pytest.fixture
def admin():
    return application.create("root", EMAIL, "Root", PASSWORD, role="admin")["_id"]


@pytest.fixture
def enrolled(admin):
    """Return (authenticator app, recovery codes) of an administrator who has just enrolled."""
    app = pyotp.TOTP(second_factor.offer(repository.get(admin)).secret)
    return app, second_factor.confirm(admin, now(app))


def now(app, steps=0):
    return app.at(clock.now(), counter_offset=steps)


def use_secrets(monkeypatch, *secrets):
    """Let the platform accept these secrets; the first signs."""
    given = dict(zip(("platform_secret", "platform_secret_accepted"), map(SecretStr, secrets), strict=False))
    monkeypatch.setattr(keyed_hash, "settings", lambda: Settings(**given))


def sign_in(code="", count_attempt=lambda account: None):
    return application.sign_in(EMAIL, PASSWORD, code, count_attempt)[0]["_id"]


def test_sign_in_needs_a_code_after_enrolling_and_none_before(admin, enrolled, fake_clock):
    app, _ = enrolled
    with pytest.raises(SecondFactorRequired):
        sign_in()
    fake_clock.pass_time(STEP_S)
    assert sign_in(now(app)) == admin


def test_wrong_password_is_refused_before_the_code_is_looked_at(enrolled, fake_clock):
    app, _ = enrolled
    fake_clock.pass_time(STEP_S)
    with pytest.raises(application.domain.WrongCredentials):
        application.sign_in(EMAIL, "not this one", now(app), pytest.fail)
    assert sign_in(now(app))


def test_a_code_counts_once_even_the_one_that_confirmed(enrolled, fake_clock):
    app, _ = enrolled
    for again in (now(app), now(app, -1)):
        with pytest.raises(SecondFactorRequired):
            sign_in(again)
    fake_clock.pass_time(STEP_S)
    code = now(app)
    assert sign_in(code)
    with pytest.raises(SecondFactorRequired):
        sign_in(code)


def test_of_two_requests_with_one_code_one_is_accepted(admin, enrolled, fake_clock):
    app, codes = enrolled
    fake_clock.pass_time(STEP_S)
    read_by_both = repository.get(admin)
    for code in (now(app), codes[0]):
        second_factor.check(read_by_both, code, lambda account: None)
        with pytest.raises(SecondFactorRequired):
            second_factor.check(read_by_both, code, lambda account: None)


@pytest.mark.parametrize(("steps", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clock_of_the_app_may_differ_by_one_step(enrolled, fake_clock, steps, accepted):
    app, _ = enrolled
    fake_clock.pass_time(10 * STEP_S)
    if accepted:
        assert sign_in(now(app, steps))
    else:
        with pytest.raises(SecondFactorRequired):
            sign_in(now(app, steps))


@pytest.mark.parametrize("code", ["000000", "12345", "1234567", "AAAA-AAAA-AAAA-AAAA", " ", "٣٣٣٣٣٣", "x" * 40])
def test_a_wrong_code_is_refused(enrolled, fake_clock, code):
    fake_clock.pass_time(STEP_S)
    with pytest.raises(SecondFactorRequired):
        sign_in(code)


def test_each_recovery_code_counts_once_in_any_spelling(admin, enrolled):
    _, codes = enrolled
    assert len(set(codes)) == second_factor.RECOVERY_CODES
    for code in (codes[0], codes[1].lower(), codes[2].replace("-", " ")):
        assert sign_in(code) == admin
        with pytest.raises(SecondFactorRequired):
            sign_in(code)
    assert second_factor.recovery_codes_left(repository.get(admin)) == second_factor.RECOVERY_CODES - 3


def test_attempts_are_counted_before_a_code_is_compared(enrolled, fake_clock):
    app, codes = enrolled
    fake_clock.pass_time(STEP_S)

    def refuse(account):
        raise TooMany

    for code in (now(app), codes[0]):
        with pytest.raises(TooMany):
            sign_in(code, refuse)
        assert sign_in(code), "the refused attempt used nothing up"


def test_confirming_needs_a_fresh_offer_and_a_right_code(admin, fake_clock):
    with pytest.raises(NoSecondFactor):
        second_factor.confirm(admin, "123456")
    old, new = (pyotp.TOTP(second_factor.offer(repository.get(admin)).secret) for _ in range(2))
    with pytest.raises(WrongCode):
        second_factor.confirm(admin, now(old))
    assert sign_in(), "an offer alone changes nothing"
    fake_clock.pass_time(second_factor.OFFER_S)
    with pytest.raises(NoSecondFactor):
        second_factor.confirm(admin, now(new))


def test_enrolling_ends_all_sessions(admin):
    session = application.sign_in(EMAIL, PASSWORD, "", lambda account: None)[1]
    app = pyotp.TOTP(second_factor.offer(repository.get(admin)).secret)
    second_factor.confirm(admin, now(app))
    with pytest.raises(sessions.SignedOut):
        application.renew(session.token)
    with pytest.raises(SecondFactorEnabled):
        second_factor.offer(repository.get(admin))


def test_only_administrators_enroll():
    customer = application.create("u1", "ada@shop.example", "Ada", PASSWORD)
    with pytest.raises(Forbidden):
        second_factor.offer(customer)
    assert "secondFactorOffer" not in repository.get("u1")


def test_removing_needs_a_code(admin, enrolled, fake_clock):
    app, _ = enrolled
    fake_clock.pass_time(STEP_S)
    with pytest.raises(WrongCode):
        second_factor.remove(repository.get(admin), "000000", lambda account: None)
    second_factor.remove(repository.get(admin), now(app), lambda account: None)
    assert sign_in() == admin
    with pytest.raises(NoSecondFactor):
        second_factor.remove(repository.get(admin), now(app), lambda account: None)


def test_required_second_factor_withholds_the_right_until_it_is_there(admin, monkeypatch):
    monkeypatch.setattr(second_factor, "settings", lambda: UsersSettings(second_factor="required"))
    customer = application.create("u1", "ada@shop.example", "Ada", PASSWORD)
    assert second_factor.effective_role(repository.get(admin)) == "customer"
    app = pyotp.TOTP(second_factor.offer(repository.get(admin)).secret)
    assert second_factor.effective_role(repository.get(admin)) == "customer", "an offer is no second factor"
    second_factor.confirm(admin, now(app))
    assert second_factor.effective_role(repository.get(admin)) == "admin"
    assert second_factor.effective_role(customer) == "customer" and not second_factor.is_required(customer)


def test_neither_store_nor_log_holds_a_secret(admin, fake_clock):
    with capture_logs() as lines:
        offer = second_factor.offer(repository.get(admin))
        app = pyotp.TOTP(offer.secret)
        pending = repr(repository.get(admin))
        codes = second_factor.confirm(admin, now(app))
        fake_clock.pass_time(STEP_S)
        sign_in(now(app))
    kept = pending + repr(repository.get(admin)) + repr(lines)
    assert offer.secret in offer.uri and "Mercato" in offer.uri
    for secret in (offer.secret, now(app), *codes, *(code.replace("-", "") for code in codes)):
        assert secret not in kept


def test_platform_secret_can_be_replaced(admin, enrolled, fake_clock, monkeypatch):
    app, _ = enrolled
    first, second = "a" * 32, "b" * 32
    use_secrets(monkeypatch, first, "")
    repository.accounts.update(admin, {"$unset": {"secondFactor": True}})
    app = pyotp.TOTP(second_factor.offer(repository.get(admin)).secret)
    second_factor.confirm(admin, now(app))
    for accepted in ((first, second), (second, first), (second,)):
        use_secrets(monkeypatch, *accepted)
        second_factor.renew_encryption()
        fake_clock.pass_time(STEP_S)
        assert sign_in(now(app)) == admin


def test_secret_that_no_accepted_key_opens_refuses_and_says_so(enrolled, fake_clock, monkeypatch):
    app, codes = enrolled
    use_secrets(monkeypatch, "c" * 32)
    second_factor.renew_encryption()
    fake_clock.pass_time(STEP_S)
    with capture_logs() as lines, pytest.raises(SecondFactorRequired):
        sign_in(now(app))
    assert any("PLATFORM_SECRET was replaced" in line["message"] for line in lines)
    assert sign_in(codes[0]), "recovery codes do not depend on it"


def test_changing_credentials_keeps_the_second_factor(admin, enrolled):
    application.change(admin, admin, {"password": "another horse battery"}, PASSWORD, None, "1")
    assert second_factor.is_enabled(repository.get(admin))
    assert credentials.version_of(repository.get(admin)) == 2


def test_codes_for_an_offer_do_not_count_against_sign_in(store, admin):
    """Else the holder of a stolen access token could keep an administrator from signing in."""
    limits.counters.attach(store).ensure_indexes()
    thief = Caller(admin, "admin", "198.51.100.1", session="stolen")
    for _ in range(5):
        with pytest.raises(NoSecondFactor):
            confirm_second_factor(ConfirmSecondFactor(code="123456"), thief)
    with pytest.raises(limits.RateLimited):
        confirm_second_factor(ConfirmSecondFactor(code="123456"), thief)
    limit_codes(admin)


def test_codes_of_an_account_are_limited_from_all_addresses_together(store, fake_clock, admin):
    limits.counters.attach(store).ensure_indexes()
    for _ in range(5):
        limit_codes(admin)
    with pytest.raises(limits.RateLimited):
        limit_codes(admin)
    limit_codes("another")
    for _ in range(5):
        fake_clock.pass_time(60)
        for _ in range(5):
            try:
                limit_codes(admin)
            except limits.RateLimited:
                break
    fake_clock.pass_time(60)
    with pytest.raises(limits.RateLimited, match="30/hour"):
        limit_codes(admin)


def test_enrolling_and_removing_hold_wherever_the_process_dies(store, admin, fake_clock):
    def enroll(place):
        fake_clock.pass_time(STEP_S)
        app = apps[place] = pyotp.TOTP(second_factor.offer(repository.get(admin)).secret)
        second_factor.confirm(admin, now(app))

    apps = {}
    for place in crashes(store, enroll):
        session = None
        fake_clock.pass_time(STEP_S)
        if second_factor.is_enabled(repository.get(admin)):
            app = apps[place]
            session = application.sign_in(EMAIL, PASSWORD, now(app), lambda account: None)[1]
            for at in range(1, 20):
                fake_clock.pass_time(STEP_S)
                account = repository.get(admin)
                if not second_factor.is_enabled(account):
                    break
                store.interrupts(
                    lambda account=account, app=app: second_factor.remove(account, now(app), lambda id: None),
                    at,
                    after=False,
                )
            with pytest.raises(sessions.SignedOut):
                application.renew(session.token)
        assert sign_in() == admin, "either enrolled with this app, or not at all"
