"""Cookies of pages: kept by the host that set them, sent over HTTPS alone, and hidden from scripts.

    cookies.set("__Host-session", token, max_age_s=1_209_600)

A cookie that a handler sets leaves with the response of its request, even if that is an error. A page that caches may
keep knows no cookies: what it read would be shown to others.
"""

import re

from flask import request

from chassis.web.response import WsgiResponse

PREFIX = "__Host-"
"""Browsers take a cookie of this name only if it is secure, has no domain and the path / (RFC 6265bis, 4.1.3.2)."""
MAX_BYTES = 4096
"""Of name, value and attributes; browsers drop larger ones (RFC 6265, 6.1)."""
PUBLIC = "chassis.public_page"
"""Key of the WSGI environment: whether caches may keep the response."""
_SET = "chassis.cookies"
_NAME, _VALUE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]+"), re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax"


def get(name: str) -> str:
    """Return the value of a cookie, as this request has set it or the browser sent it; "" without one."""
    _require_private(name)
    pending = request.environ.get(_SET, {})
    return pending[name][0] if name in pending else request.cookies.get(name, "")


def set(name: str, value: str, *, max_age_s: int) -> None:
    """Set a cookie for so many seconds. Raises ValueError if a browser would not take it."""
    _require_private(name)
    if not _VALUE.fullmatch(value):
        raise ValueError(f"the value of {name} has characters that a cookie cannot hold")
    header = f"{name}={value}; Max-Age={max_age_s}; {_ATTRIBUTES}"
    if len(header) > MAX_BYTES:
        raise ValueError(f"{name} has {len(header)} bytes; browsers take {MAX_BYTES}")
    request.environ.setdefault(_SET, {})[name] = value, header


def delete(name: str) -> None:
    """Delete a cookie."""
    set(name, "", max_age_s=0)


def add_to(response: WsgiResponse) -> None:
    """Add the cookies that this request has set to its response."""
    for _, header in request.environ.get(_SET, {}).values():
        response.headers.add("Set-Cookie", header)


def _require_private(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"the cookie {name} must be named {PREFIX}…")
    if request.environ.get(PUBLIC):
        raise RuntimeError(f"a page with cache_s is the same for everybody: it cannot read or set {name}")
