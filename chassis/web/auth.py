"""Users' access tokens: checked offline against the platform's public keys, in every service alike.

A verified token is kept until it expires, in a bounded cache: verifying costs more than all the rest of a request.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis import clock
from chassis.errors import TransientError
from chassis.settings import PLATFORM

ISSUER = AUDIENCE = PLATFORM
ALGORITHM = "Ed25519"
TYPE = "at+jwt"
LEEWAY = 30
LONGEST = 4096
KEEP_KEYS = 600.0
REFETCH = 10.0
REFRESH = 300.0
RETRY = 1.0  # seconds between two tries where there are no keys at all
_CACHED = 10_000


@dataclass(frozen=True)
class Caller:
    """Who asks: a user by id and role, or nobody (""), known by address alone."""

    id: str
    role: str
    address: str

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"

    @property
    def name(self) -> str:
        """What limits and idempotency keys are counted under."""
        return self.id or f"@{self.address}"


class KeysUnreachable(TransientError):
    """The public keys are older than they may be, and cannot be fetched."""


class Verifier:
    """Checks access tokens. `fetch` returns the JWKS as data and raises TransientError where it cannot be had."""

    def __init__(self, fetch: Callable[[], Any]) -> None:
        self._fetch = fetch
        self._keys: dict[str, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._known: OrderedDict[str, tuple[float, str, str]] = OrderedDict()
        self._lock, self._fetching = threading.Lock(), threading.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            sub={"essential": True},
            role={"essential": True, "values": ["customer", "admin"]},
        )

    def verify(self, token: str) -> tuple[str, str] | None:
        """(user id, role), or None if the token is not good. Raises KeysUnreachable."""
        known = self._known.get(token)
        if known is not None:
            if known[0] > clock.now().timestamp() - LEEWAY:
                return known[1], known[2]
            self._known.pop(token, None)
            return None
        if len(token) > LONGEST:
            return None
        claims = self._decoded(token)
        if claims is None:
            return None
        with self._lock:
            self._known[token] = claims["exp"], claims["sub"], claims["role"]
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        return claims["sub"], claims["role"]

    def _decoded(self, token: str) -> dict[str, Any] | None:
        try:
            header = _header(token)
            key = self._key(header.get("kid"))
            if key is None or header.get("typ") != TYPE or set(header) - {"alg", "typ", "kid"}:
                return None
            decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError, TypeError):
            return None
        return decoded.claims

    def _key(self, kid: object) -> Any:
        """The public key of this name. Asked for an unknown one, the keys are fetched again, at most every 10 s."""
        if not isinstance(kid, str):
            return None
        if self._is_stale(kid):
            with self._fetching:  # who comes meanwhile waits for the keys, instead of being judged without them
                if self._is_stale(kid):
                    self._refresh()
        if clock.monotonic() - self._fetched >= KEEP_KEYS:
            raise KeysUnreachable("the signing keys are too old")
        return self._keys.get(kid)

    def _is_stale(self, kid: str) -> bool:
        return clock.monotonic() - self._fetched >= REFRESH or kid not in self._keys

    def _refresh(self) -> None:
        now = clock.monotonic()
        if now - self._tried < REFETCH:
            return
        self._tried = now
        try:
            self._keys = {key.kid: key for key in KeySet.import_key_set(self._fetch()).keys if key.kid}
            self._fetched = now
        except TransientError as error:
            if now - self._fetched >= KEEP_KEYS:
                self._tried = clock.monotonic() - REFETCH + RETRY
                raise KeysUnreachable("the signing keys cannot be fetched") from error


def _header(token: str) -> dict[str, Any]:
    from joserfc.jws import extract_compact

    header = extract_compact(token.encode("ascii")).headers()
    if not isinstance(header, dict):
        raise ValueError("the header is no object")
    return header
