"""Cross-origin requests (CORS, the Fetch standard) of the origins that the setting names, and of no other.

The origin of a response is the exact one of the request, never `*`. Cookies are never allowed: a token identifies a
caller.
"""

from typing import Any

Headers = list[tuple[str, str]]

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = "Authorization, Cart-Token, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
_RESPONSE_HEADERS = (
    "ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Trace-Id"
)
_MAX_AGE_S = 600


class Cors:
    """The rules for these origins."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins
        self.always: Headers = [("Vary", "Origin")] if origins else []
        """Headers of every response: a cache must not give the response to one origin to another."""

    def headers(self, environ: dict[str, Any]) -> Headers:
        """Return the headers that let a script of the request's origin read the response; none for another origin."""
        origin = environ.get("HTTP_ORIGIN")
        if origin not in self._origins:
            return []
        return [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _RESPONSE_HEADERS)]

    def preflight(self, environ: dict[str, Any]) -> Headers | None:
        """Return the headers that answer a preflight request of an allowed origin; None for any other request."""
        is_preflight = environ["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ
        if not is_preflight or environ.get("HTTP_ORIGIN") not in self._origins:
            return None
        return [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
            ("Access-Control-Max-Age", str(_MAX_AGE_S)),
        ]
