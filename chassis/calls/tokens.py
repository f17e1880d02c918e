"""Service tokens: a JWT of 60 s, signed with the secret of the platform, says who calls.

For the access tokens of users see `chassis.web.auth`.
"""

from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from chassis import clock
from chassis.settings import PLATFORM

LIFETIME_S = 60
LEEWAY_S = 30
MIN_SECRET = 32
"""Characters of the secret."""


class ServiceTokens:
    """Issues the tokens of one service, and verifies those of its callers."""

    def __init__(self, service: str, secret: str, allowed: frozenset[str]) -> None:
        if len(secret) < MIN_SECRET:
            raise SystemExit(f"{PLATFORM}: PLATFORM_SECRET must have {MIN_SECRET} characters or more")
        self._service, self._allowed = service, allowed
        self._key = OctKey.import_key(secret)
        self._issued: dict[str, tuple[float, str]] = {}
        self._registry = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True},
            aud={"essential": True, "value": service},
            exp={"essential": True},
        )

    def issue(self, audience: str) -> str:
        """Return a token for calls to `audience`; one is used again for half of its lifetime."""
        until, token = self._issued.get(audience, (0.0, ""))
        if clock.monotonic() >= until:
            now = int(clock.now().timestamp())
            claims = {"iss": self._service, "aud": audience, "iat": now, "exp": now + LIFETIME_S}
            token = jwt.encode({"alg": "HS256", "typ": "service+jwt"}, claims, self._key)
            self._issued[audience] = clock.monotonic() + LIFETIME_S / 2, token
        return token

    def caller(self, token: str) -> str | None:
        """Return the service that issued the token: "" if it may not call this one, None if the token is invalid."""
        try:
            decoded = jwt.decode(token, self._key, algorithms=["HS256"])
            self._registry.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        if decoded.header.get("typ") != "service+jwt":
            return None
        issuer: Any = decoded.claims["iss"]
        return issuer if issuer in self._allowed else ""
