"""The keys that sign access tokens, in one document; each is published as JWKS before its first and after its last use.

{_id: "signing", version, keys: [{kid, private: {...JWK}, since: "time from which on it signs"}]}
"""

from collections.abc import Callable
from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.store import Collection, Doc, Duplicate, Update
from chassis.web.auth import ALGORITHM, AUDIENCE, CLOCK_SKEW_S, ISSUER, KEYS_REFRESH_S, MAX_KEYS_AGE_S, TYPE
from services.users.settings import settings

signing_keys = Collection("signing_keys")
_ID = "signing"
_CACHED_S = 5.0
_MAX_CLOCK_DIFFERENCE_S = 120.0
_PUBLISH_AHEAD_S = MAX_KEYS_AGE_S + _CACHED_S + _MAX_CLOCK_DIFFERENCE_S
"""Time between publishing a key and signing with it: longer than any verifier uses the keys that it fetched before."""
REFUSED_WITHIN_S = KEYS_REFRESH_S + _CACHED_S
"""Time after which every service refuses the tokens of a key that was dropped."""

_cached: tuple[float, Doc] | None = None


def prepare() -> None:
    """Create the first key, unless there is one."""
    if signing_keys.get(_ID) is None:
        try:
            signing_keys.insert({"_id": _ID, "version": 1, "keys": [_new_key(clock.timestamp())]})
        except Duplicate:
            pass  # another process was first


def public_keys() -> dict[str, Any]:
    """Return the JWKS: every key that a valid token may be signed by."""
    return {"keys": [OKPKey.import_key(key["private"]).as_dict(private=False) for key in _current()["keys"]]}


def tokens_expire_at() -> str:
    """Return the time at which every access token that was issued until now has expired, for every verifier."""
    return clock.timestamp_in(settings().access_token + CLOCK_SKEW_S)


def access_token(user: str, role: str, session: str, credentials_version: int) -> str:
    """Issue a token for a session of a user, valid for `access_token` seconds."""
    keys, now = _current()["keys"], clock.now()
    # the clock of the process that made the only key may be ahead of ours
    usable = [key for key in keys if key["since"] <= clock.timestamp(now)] or keys[:1]
    seconds = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user,
        "role": role,
        "sid": session,
        "cv": credentials_version,
        "iat": seconds,
        "exp": seconds + int(settings().access_token),
        "jti": clock.new_id(),
    }
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": usable[-1]["kid"]}
    return jwt.encode(header, claims, OKPKey.import_key(usable[-1]["private"]), algorithms=[ALGORITHM])


def rotate() -> None:
    """Publish the next key when the newest is old, and drop the keys that sign no valid token anymore."""

    def due(keys: list[Doc]) -> list[Doc]:
        overlap = settings().access_token + _PUBLISH_AHEAD_S
        superseded = zip(keys, keys[1:], strict=False)
        kept = [key for key, after in superseded if after["since"] > clock.timestamp_ago(overlap)] + keys[-1:]
        if keys[-1]["since"] < clock.timestamp_ago(settings().key_rotation):
            kept.append(_new_key(clock.timestamp_in(_PUBLISH_AHEAD_S)))
        return kept

    _change(due)


def publish_next() -> str:
    """Publish the next key now, unless one is published already. Return the time from which on it signs."""

    def with_next(keys: list[Doc]) -> list[Doc]:
        is_published = keys[-1]["since"] > clock.timestamp()
        return keys if is_published else [*keys, _new_key(clock.timestamp_in(_PUBLISH_AHEAD_S))]

    since: str = _change(with_next)[-1]["since"]
    return since


def replace_all() -> None:
    """Drop all keys and sign with a new one at once: within `REFUSED_WITHIN_S` every former access token is refused."""
    _change(lambda _: [_new_key(clock.timestamp())])


def _change(next_keys: Callable[[list[Doc]], list[Doc]]) -> list[Doc]:
    """Replace the keys in one write, again if another process changed them meanwhile, and return them."""
    while True:
        doc = signing_keys.get(_ID)
        if doc is None:
            prepare()
            continue
        keys = next_keys(doc["keys"])
        change: Update = {"$set": {"keys": keys}, "$inc": {"version": 1}}
        if keys == doc["keys"] or signing_keys.update(_ID, change, when={"version": doc["version"]}):
            return keys


def _current() -> Doc:
    global _cached
    if _cached is None or clock.monotonic() - _cached[0] > _CACHED_S:
        doc = signing_keys.get(_ID)
        if doc is None:
            prepare()
            return _current()
        _cached = clock.monotonic(), doc
    return _cached[1]


def _new_key(since: str) -> Doc:
    kid = clock.new_id()
    key = OKPKey.generate_key("Ed25519", parameters={"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)
    return {"kid": kid, "private": dict(key.as_dict(private=True)), "since": since}
