"""The keys that sign access tokens, in one document; each is published as JWKS before its first and after its last use.

{_id: "signing", version, keys: [{kid, private: {...JWK}, since: "time from which on it signs"}]}
"""

from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.store import Collection, Doc, Duplicate
from chassis.web.auth import ALGORITHM, AUDIENCE, ISSUER, MAX_KEYS_AGE_S, TYPE
from services.users.settings import settings

signing_keys = Collection("signing_keys")
_ID = "signing"
_PUBLISH_AHEAD_S = 2 * MAX_KEYS_AGE_S
"""Time between publishing a key and signing with it: longer than a verifier caches the keys."""
_CACHED_S = 60.0

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


def access_token(user: str, role: str) -> str:
    """Issue a token for a user, valid for `access_token` seconds."""
    now = clock.now()
    usable = [key for key in _current()["keys"] if key["since"] <= clock.timestamp(now)]
    seconds = int(now.timestamp())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user,
        "role": role,
        "iat": seconds,
        "exp": seconds + int(settings().access_token),
        "jti": clock.new_id(),
    }
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": usable[-1]["kid"]}
    return jwt.encode(header, claims, OKPKey.import_key(usable[-1]["private"]), algorithms=[ALGORITHM])


def rotate() -> None:
    """Publish the next key when the newest is old, and drop the keys that sign no valid token anymore."""
    doc = signing_keys.get(_ID)
    if doc is None:
        return
    keys = doc["keys"]
    overlap = settings().access_token + _PUBLISH_AHEAD_S
    superseded = zip(keys, keys[1:], strict=False)
    kept = [key for key, after in superseded if after["since"] > clock.timestamp_ago(overlap)] + keys[-1:]
    if keys[-1]["since"] < clock.timestamp_ago(settings().key_rotation):
        kept.append(_new_key(clock.timestamp_in(_PUBLISH_AHEAD_S)))
    if kept != keys:
        signing_keys.update(_ID, {"$set": {"keys": kept}, "$inc": {"version": 1}}, when={"version": doc["version"]})


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
