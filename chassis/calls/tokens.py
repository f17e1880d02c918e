"""Service tokens: who calls, said by a JWT of 60 s under the platform's secret. For users' see `chassis.web.auth`."""

from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from chassis import clock
from chassis.settings import PLATFORM

LIFE = 60
LEEWAY = 30


class ServiceTokens:
    """Makes the tokens of one service, and checks those of the callers that it allows."""

    def __init__(self, service: str, secret: str, allowed: frozenset[str]) -> None:
        if len(secret) < 32:
            raise SystemExit(f"{PLATFORM}: PLATFORM_SECRET must have 32 characters or more")
        self._service, self._allowed = service, allowed
        self._key = OctKey.import_key(secret)
        self._made: dict[str, tuple[float, str]] = {}
        self._registry = jwt.JWTClaimsRegistry(
            now=lambda: int(clock.now().timestamp()),
            leeway=LEEWAY,
            iss={"essential": True},
            aud={"essential": True, "value": service},
            exp={"essential": True},
        )

    def for_callee(self, callee: str) -> str:
        """A token that `callee` accepts, used again while it has half of its life before it."""
        until, token = self._made.get(callee, (0.0, ""))
        if clock.monotonic() >= until:
            now = int(clock.now().timestamp())
            claims = {"iss": self._service, "aud": callee, "iat": now, "exp": now + LIFE}
            token = jwt.encode({"alg": "HS256", "typ": "service+jwt"}, claims, self._key)
            self._made[callee] = clock.monotonic() + LIFE / 2, token
        return token

    def caller(self, token: str) -> str | None:
        """The service that this token speaks for; "" if it may not call here, None if the token is not good."""
        try:
            decoded = jwt.decode(token, self._key, algorithms=["HS256"])
            self._registry.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        if decoded.header.get("typ") != "service+jwt":
            return None
        issuer: Any = decoded.claims["iss"]
        return issuer if issuer in self._allowed else ""
