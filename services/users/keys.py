"""Signing keys: made once under a fixed `_id`, published as JWKS before they are used, and after they no longer are.

{_id: "signing", version, keys: [{kid, private: {...JWK}, since: "when it begins to sign"}]}
"""

from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey

from chassis import clock
from chassis.store import Collection, Doc, Duplicate
from chassis.web.auth import ALGORITHM, AUDIENCE, ISSUER, KEEP_KEYS, TYPE
from services.users.settings import settings

signing = Collection("signing_keys")
_ID = "signing"
_AHEAD = 2 * KEEP_KEYS
"""Seconds between publishing a key and signing with it: longer than anyone keeps the keys."""
_REREAD = 60.0

_cached: tuple[float, Doc] | None = None


def prepare() -> None:
    """Make the first key if there is none."""
    if signing.get(_ID) is None:
        try:
            signing.insert({"_id": _ID, "version": 1, "keys": [_new_key(clock.timestamp())]})
        except Duplicate:
            pass  # another process was first


def public_keys() -> dict[str, Any]:
    """The JWKS: every key that tokens may be signed by."""
    return {"keys": [OKPKey.import_key(key["private"]).as_dict(private=False) for key in _current()["keys"]]}


def access_token(user: str, role: str) -> str:
    """A token that says who the user is, for `access_token` seconds."""
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
    """Publish the next key when the newest is old, and drop those that no valid token can be signed by."""
    doc = signing.get(_ID)
    if doc is None:
        return
    keys = doc["keys"]
    overlap = settings().access_token + _AHEAD
    superseded = zip(keys, keys[1:], strict=False)
    kept = [key for key, after in superseded if after["since"] > clock.timestamp_ago(overlap)] + keys[-1:]
    if keys[-1]["since"] < clock.timestamp_ago(settings().key_rotation):
        kept.append(_new_key(clock.timestamp_in(_AHEAD)))
    if kept != keys:
        signing.update(_ID, {"$set": {"keys": kept}, "$inc": {"version": 1}}, when={"version": doc["version"]})


def _current() -> Doc:
    global _cached
    if _cached is None or clock.monotonic() - _cached[0] > _REREAD:
        doc = signing.get(_ID)
        if doc is None:
            prepare()
            return _current()
        _cached = clock.monotonic(), doc
    return _cached[1]


def _new_key(since: str) -> Doc:
    kid = clock.new_id()
    key = OKPKey.generate_key("Ed25519", parameters={"kid": kid, "use": "sig", "alg": ALGORITHM}, private=True)
    return {"kid": kid, "private": dict(key.as_dict(private=True)), "since": since}
