"""Cross-origin requests (CORS, the Fetch standard) of the origins that the setting names, and of no other.

The origin of a response is the exact one of the request, never `*`. Cookies are never allowed: a token identifies a
caller.
"""

from typing import Any

Headers = dict[str, str]

_RESPONSE_HEADERS = (
    "ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Trace-Id"
)
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": (
        "Authorization, Cart-Token, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-Request-Id"
    ),
    "Access-Control-Max-Age": "600",
}
"""The headers that answer a preflight request, besides those of any response; the age is in seconds."""


class Cors:
    """The rules for these origins."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins
        self.always: Headers = {"Vary": "Origin"} if origins else {}
        """Headers of every response: a cache must not give the response to one origin to another."""

    def headers(self, environ: dict[str, Any]) -> Headers:
        """Return the headers that let a script of the request's origin read the response; none for another origin."""
        origin = environ.get("HTTP_ORIGIN")
        if origin not in self._origins:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": _RESPONSE_HEADERS}

    def is_preflight(self, environ: dict[str, Any]) -> bool:
        """Return whether an OPTIONS request asks if an allowed origin may send another request."""
        return "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in environ and environ.get("HTTP_ORIGIN") in self._origins
