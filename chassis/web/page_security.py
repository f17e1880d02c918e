"""The security headers of pages: what a page may load, and who may frame, open or read it.

The Content-Security-Policy allows files of the same origin and nothing else, no inline script or style, and no page of
ours in a frame. No script writes markup but htmx, by a policy of Trusted Types: see docs/building-a-service.md. A page
that needs more, such as that of a payment provider, says which sources a directive has.
"""

import re
from collections.abc import Mapping
from functools import cache

Csp = Mapping[str, str]
"""Directive -> its sources: {"script-src": "'self' https://js.stripe.com"}; "" drops the directive."""

_CSP = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
_SOURCE = re.compile(r"'(?:none|self|sha256-[A-Za-z0-9+/=]+)'|data:|https?://[A-Za-z0-9*.-]+(?::[0-9]+)?(?:/[\w./-]*)?")
_DIRECTIVE = re.compile(r"[a-z-]+")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def headers(*changes: Csp) -> dict[str, str]:
    """Return the headers of a page; each of `changes` replaces directives of the policy.

    Raises ValueError for a source that would undo it, such as 'unsafe-inline', or a malformed one.
    """
    return {**HEADERS, "Content-Security-Policy": _policy(tuple(item for each in changes for item in each.items()))}


@cache
def _policy(changes: tuple[tuple[str, str], ...]) -> str:
    for directive, sources in changes:
        if not _DIRECTIVE.fullmatch(directive) or not all(_SOURCE.fullmatch(source) for source in sources.split()):
            raise ValueError(f"{directive} {sources!r}: name origins, 'self', 'none', data: or a hash")
    return "; ".join(f"{directive} {sources}" for directive, sources in (_CSP | dict(changes)).items() if sources)
