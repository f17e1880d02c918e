"""Cross-site request forgery: a browser says where a request comes from, and a write from another site is refused.

Browsers send `Sec-Fetch-Site`, which no page can forge, to every origin that they trust (HTTPS, and localhost); older
ones, and those on plain HTTP, send `Origin` with every POST. A client that sends neither is no browser, and has no
cookies that another site could make it use. So a form needs no token, and its page may be cached. The rule is that of
Go 1.25, `net/http.CrossOriginProtection`.
"""

from urllib.parse import urlsplit

from flask import Request

from chassis.web.problems import Problem


def refuse_cross_site(request: Request) -> None:
    """Raises Problem 403 if the request comes from a page of another origin."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        is_ours = site in ("same-origin", "none")  # none: the user, not a page
    else:
        origin = request.headers.get("Origin")
        is_ours = origin is None or _authority(origin) == request.headers.get("Host", "").lower()
    if not is_ours:
        raise Problem(403, "This form was sent by another site. Open the page here, and send it again.")


def _authority(origin: str) -> str | None:
    """Return host and port of an origin, or None for "null" and what is none.

    The scheme is left out: behind a proxy that ends TLS, a service does not know its own.
    """
    try:
        found = urlsplit(origin)
    except ValueError:
        return None
    return found.netloc.lower() if found.scheme in ("http", "https") and found.netloc else None
