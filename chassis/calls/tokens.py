"""Service tokens: a JWT of 60 s, signed with the secret of the platform, says who calls.

For the access tokens of users see `chassis.web.auth`.
"""

from collections.abc import Iterable

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from chassis import clock
from chassis.settings import PLATFORM

SERVICE_TOKEN_HEADER, CLIENT_ADDRESS_HEADER = "X-Service-Token", "X-Client-Address"  # noqa: S105  names
"""Headers of a call on behalf of a client: the token of the calling service, which proves what it says of the client,
and the client's address."""
LIFETIME_S = 60
LEEWAY_S = 30
MIN_SECRET = 32
"""Characters of the secret."""
_VERIFIED_S = 5.0
"""A token is verified again after this time, or it could outlast its lifetime."""
_MAX_VERIFIED = 1000


class ServiceTokens:
    """Issues the tokens of one service with `secret`; verifies those of its callers also with the `accepted` secrets.

    Raises: SystemExit if a secret is short.
    """

    def __init__(self, service: str, secret: str, accepted: Iterable[str] = ()) -> None:
        secrets = (secret, *accepted)
        for name, each in zip(("PLATFORM_SECRET", "PLATFORM_SECRET_ACCEPTED"), secrets, strict=False):
            if len(each) < MIN_SECRET:
                raise SystemExit(f"{PLATFORM}: {name} must have {MIN_SECRET} characters or more")
        self._service = service
        self._keys = [OctKey.import_key(each) for each in secrets]
        self._issued: dict[str, tuple[float, str]] = {}
        self._verified: dict[str, tuple[float, str]] = {}
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
            token = jwt.encode({"alg": "HS256", "typ": "service+jwt"}, claims, self._keys[0])
            self._issued[audience] = clock.monotonic() + LIFETIME_S / 2, token
        return token

    def caller(self, token: str) -> str:
        """Return the service that issued the token, "" if the token is invalid."""
        until, issuer = self._verified.get(token, (0.0, ""))
        if clock.monotonic() < until:
            return issuer
        issuer = next(filter(None, (self._issuer(token, key) for key in self._keys)), "")
        if issuer:
            if len(self._verified) >= _MAX_VERIFIED:
                self._verified.clear()
            self._verified[token] = clock.monotonic() + _VERIFIED_S, issuer
        return issuer

    def _issuer(self, token: str, key: OctKey) -> str:
        try:
            decoded = jwt.decode(token, key, algorithms=["HS256"])
            self._registry.validate(decoded.claims)
        except (JoseError, ValueError, TypeError, RecursionError):
            return ""
        issuer = decoded.claims["iss"]
        return issuer if decoded.header.get("typ") == "service+jwt" and isinstance(issuer, str) else ""
