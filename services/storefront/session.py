"""The session of a shopper: one cookie that only this service can read, after RFC 10017.

The cookie is a JWE of the tokens of a user and of the cart of a guest. No script sees a token. An access token is
refreshed a minute before it expires, once for all requests of a process that have it; `users` gives two processes that
refresh at the same time the same successor. Only a response that has changed the session sets the cookie.
"""

import base64
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from flask import request
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from chassis import clock
from chassis.calls import on_behalf
from chassis.errors import ServiceError
from chassis.keyed_hash import keyed_hashes
from chassis.web import cookies

COOKIE = "__Host-session"
MAX_AGE_S = 30 * 24 * 3600
REFRESH_BEFORE_S = 60
_ALGORITHMS = ["dir", "A256GCM"]
_CURRENT = "storefront.session"
users = on_behalf("users")


@dataclass(frozen=True)
class Session:
    """What the cookie holds: nothing, a guest's cart, a user's tokens, or both until the cart is merged."""

    user_id: str = ""
    access_token: str = ""
    refresh_token: str = ""
    expires_at_s: float = 0.0
    """When the access token expires, in seconds since 1970."""
    cart_id: str = ""
    cart_token: str = ""
    attempt: str = ""
    """Changes when an order was rejected: the same cart may then be ordered once more."""

    @property
    def id(self) -> str:
        """The id of the user, by which limits count."""
        return self.user_id


def current() -> Session:
    """Return the session as the cookie has it; its access token may have expired."""
    if _CURRENT not in request.environ:
        request.environ[_CURRENT] = _read(cookies.get(COOKIE))
    session: Session = request.environ[_CURRENT]
    return session


def signed_in() -> Session | None:
    """Return the session of a user, with an access token that is valid, or None.

    Raises ServiceError if the token has expired and `users` cannot be asked for another.
    """
    session = current()
    if not session.refresh_token:
        return None
    left_s = session.expires_at_s - clock.now().timestamp()
    if left_s > REFRESH_BEFORE_S:
        return session
    try:
        tokens = _refresh(session.refresh_token)
    except ServiceError:
        if left_s > 0:
            return session  # another request will succeed before it expires
        raise
    if tokens is None:
        forget_user()
        return None
    return sign_in(tokens)


def sign_in(tokens: dict[str, Any]) -> Session:
    """Keep the tokens that `users` has issued, beside the cart of the guest."""
    access = tokens["accessToken"]
    session = replace(
        current(),
        user_id=_subject(access),
        access_token=access,
        refresh_token=tokens["refreshToken"],
        expires_at_s=clock.now().timestamp() + tokens["expiresIn"],
    )
    return _keep(session)


def sign_out() -> None:
    """End the session here, and at `users` if it can be reached; the refresh token is forgotten in any case."""
    token = current().refresh_token
    request.environ[_CURRENT] = Session()
    cookies.delete(COOKIE)
    if token:
        try:
            users.post("/api/auth/logout", json={"refreshToken": token}, accept=(401, 422))
        except ServiceError:
            pass  # it expires by itself


def forget_user() -> None:
    """Forget a user whose session has ended elsewhere; the cart of a guest is kept."""
    session = current()
    _keep(Session(cart_id=session.cart_id, cart_token=session.cart_token))


def keep_cart(id: str, token: str) -> None:
    """Keep the cart of a guest."""
    _keep(replace(current(), cart_id=id, cart_token=token))


def allow_another_order() -> Session:
    """Let the same cart be ordered once more."""
    return _keep(replace(current(), attempt=clock.new_id()))


def forget_cart() -> None:
    """Forget the cart of a guest, as after it was merged."""
    _keep(replace(current(), cart_id="", cart_token=""))


def _keep(session: Session) -> Session:
    request.environ[_CURRENT] = session
    cookies.set(COOKIE, encrypt(session), max_age_s=MAX_AGE_S)
    return session


def encrypt(session: Session) -> str:
    """Return the cookie of a session."""
    (id, key), *_ = _keys().items()
    header = {"alg": "dir", "enc": "A256GCM", "kid": id}
    return jwe.encrypt_compact(header, orjson.dumps(asdict(session)), key, _ALGORITHMS)


def _read(cookie: str) -> Session:
    """Return the session of a cookie; an empty one for a cookie that is not ours, or of a key that was retired."""
    if not cookie:
        return Session()
    try:
        key = _keys().get(_key_id(cookie))
        return (
            Session(**orjson.loads(jwe.decrypt_compact(cookie, key, _ALGORITHMS).plaintext or b""))
            if key
            else Session()
        )
    except (JoseError, ValueError, TypeError):
        return Session()


def _keys() -> dict[str, OctKey]:
    """Return the key under each accepted secret of the platform, by its id; the first one encrypts."""
    ids, keys = keyed_hashes(b"id of the key of sessions"), keyed_hashes(b"key of sessions")
    return {id[:4].hex(): OctKey.import_key(key) for id, key in zip(ids, keys, strict=True)}


def _key_id(cookie: str) -> str:
    header = orjson.loads(_decoded(cookie.partition(".")[0]))
    return str(header.get("kid", "")) if isinstance(header, dict) else ""


def _subject(token: str) -> str:
    """Return the user of an access token, which `users` itself has just sent."""
    return str(orjson.loads(_decoded(token.split(".")[1]))["sub"])


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


_refreshes: dict[str, "Future[dict[str, Any] | None]"] = {}
_lock = threading.Lock()


def _refresh(token: str) -> dict[str, Any] | None:
    """Return the next tokens, or None if the session has ended; one call for all threads that wait for the same."""
    with _lock:
        running = _refreshes.get(token)
        future = running or _refreshes.setdefault(token, Future())
    if running is None:
        try:
            answer = users.post("/api/auth/refresh", json={"refreshToken": token}, accept=(401, 422))
            future.set_result(answer.body if answer.status == 200 else None)
        except BaseException as error:
            future.set_exception(error)
        finally:
            with _lock:
                del _refreshes[token]
    return future.result()
