"""Access tokens of users: every service verifies them offline, with the public keys of their issuer.

A bounded cache keeps verified tokens until they expire: verifying costs more than the rest of a request. What ends a
token before it expires is in `chassis.web.access`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from chassis import clock
from chassis.calls.stale import StaleResponses
from chassis.errors import OutcomeUnknown, TransientError
from chassis.settings import PLATFORM

ISSUER = AUDIENCE = PLATFORM
ALGORITHM = "Ed25519"
TYPE = "at+jwt"
CLOCK_SKEW_S = 30
MAX_TOKEN_CHARS = 4096
KEYS_REFRESH_S = 60.0
MAX_STALE_KEYS_S = 540.0
"""Age of the keys that are used while their issuer does not answer."""
MAX_KEYS_AGE_S = MAX_STALE_KEYS_S + KEYS_REFRESH_S
MIN_REFETCH_S = 10.0
FAILED_FETCH_RETRY_S = 1.0
_MAX_CACHED_TOKENS = 10_000
_CLIENT_PREFIX_BITS = 64  # one client chooses the other 64 bits at will (RFC 4291, 2.5.4)


@dataclass(frozen=True)
class Caller:
    """The caller of a request: a user with id and role, or an anonymous client (id "") with an address."""

    id: str
    role: str
    address: str
    session: str = ""
    """Id of the session that the access token belongs to; "" in a token of release 0.2.0."""
    credentials_version: int = 0
    """Version of the credentials that the user signed in with."""
    current_role: Callable[["Caller"], str] = field(default=lambda caller: caller.role, compare=False, repr=False)
    """Returns the role that the user has now; raises where the token is not accepted anymore."""

    @cached_property
    def is_admin(self) -> bool:
        """Whether the caller is an administrator now, which the issuer of the token is asked once for each request.

        Read it only where the right of an administrator decides: it costs a call, and fails while the issuer is away.
        Raises TransientError; Problem 401 if the token is not accepted anymore.
        """
        return self.role == "admin" and self.current_role(self) == "admin"

    @property
    def network(self) -> str:
        """The address, or for IPv6 the network of 64 bits that one client has: what anonymous limits count."""
        return _network_of(self.address)

    @property
    def name(self) -> str:
        """The name that idempotency keys and the limit of reads belong to."""
        return self.id or f"@{self.network}"


@dataclass(frozen=True)
class Identity:
    """What a valid access token says."""

    user: str
    role: str
    session: str = ""
    credentials_version: int = 0


class KeysUnavailable(TransientError):
    """The public keys cannot be fetched, and those fetched last are too old."""


class Verifier:
    """Verifies access tokens. `fetch` returns the JWKS of the service `issuer` as data, or raises TransientError."""

    def __init__(self, fetch: Callable[[], Any], issuer: str = "") -> None:
        self._fetch, self._issuer, self._stale = fetch, issuer, StaleResponses()
        self._keys: dict[str, Any] = {}
        self._fetched_at = self._failed_at = float("-inf")
        self._verified: OrderedDict[str, tuple[float, str, Identity]] = OrderedDict()
        self._lock, self._fetch_lock = threading.Lock(), threading.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=CLOCK_SKEW_S,
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            sub={"essential": True},
            role={"essential": True, "values": ["customer", "admin"]},
        )

    def verify(self, token: str) -> Identity | None:
        """Return what a token says, or None if it is not valid. Raises KeysUnavailable."""
        cached = self._verified.get(token)
        if cached is not None:
            expires_at, kid, identity = cached
            if expires_at > clock.now().timestamp() - CLOCK_SKEW_S and self._key(kid) is not None:
                return identity
            self._verified.pop(token, None)
            return None
        if len(token) > MAX_TOKEN_CHARS:
            return None
        decoded = self._decode(token)
        if decoded is None:
            return None
        claims = decoded.claims
        identity = Identity(claims["sub"], claims["role"], claims.get("sid", ""), claims.get("cv", 0))
        with self._lock:
            self._verified[token] = claims["exp"], decoded.header["kid"], identity
            if len(self._verified) > _MAX_CACHED_TOKENS:
                self._verified.popitem(last=False)
        return identity

    def _decode(self, token: str) -> jwt.Token | None:
        try:
            header = _header(token)
            key = self._key(header.get("kid"))
            if key is None or header.get("typ") != TYPE or set(header) - {"alg", "typ", "kid"}:
                return None
            decoded = jwt.decode(token, key, algorithms=[ALGORITHM])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError, TypeError, RecursionError):
            return None
        return decoded

    def _key(self, kid: object) -> Any:
        """Return a public key. Fetch the keys again every minute; for an unknown `kid`, at most every 10 s.

        One request fetches. Others wait for it only if they need an unknown key.
        """
        if not isinstance(kid, str):
            return None
        keys = self._keys
        if self._must_fetch(kid) and self._fetch_lock.acquire(blocking=kid not in keys):
            try:
                if self._must_fetch(kid):
                    self._refresh()
            finally:
                self._fetch_lock.release()
            keys = self._keys
        return keys.get(kid)

    def _must_fetch(self, kid: str) -> bool:
        age_s = clock.monotonic() - self._fetched_at
        return age_s >= (MIN_REFETCH_S if kid not in self._keys else KEYS_REFRESH_S)

    def _refresh(self) -> None:
        now = clock.monotonic()
        if now - self._failed_at < FAILED_FETCH_RETRY_S:
            raise KeysUnavailable("the signing keys could not be fetched a moment ago")
        try:
            self._keys = self._stale.fall_back(self._issuer, "jwks", self._fetch_keys, MAX_STALE_KEYS_S)
            self._fetched_at = now
        except TransientError as error:
            self._failed_at, self._keys = clock.monotonic(), {}
            raise KeysUnavailable("the signing keys cannot be fetched") from error

    def _fetch_keys(self) -> dict[str, Any]:
        """Return the keys by their ids. Raises TransientError, also for a response that is not a JWKS."""
        response = self._fetch()
        try:
            return {key.kid: key for key in KeySet.import_key_set(response).keys if key.kid}
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise OutcomeUnknown(f"{self._issuer} sent a malformed JWKS") from error


@lru_cache(10_000)
def _network_of(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address  # whatever a trusted proxy calls its client
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((found, _CLIENT_PREFIX_BITS), strict=False))


def _header(token: str) -> dict[str, Any]:
    from joserfc.jws import extract_compact

    header = extract_compact(token.encode("ascii")).headers()
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    return header
