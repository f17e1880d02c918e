"""Checks of RFC 9112 that gunicorn's parser does not make: of `Host`, of the transfer coding, and of the target."""

import re
from typing import Any

from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, UnsupportedTransferCoding

_AUTHORITY = r"(?:[A-Za-z0-9\-._~%!$&'()*+;=]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"  # RFC 3986, without user or list
_HOST = re.compile(_AUTHORITY)
_ABSOLUTE = re.compile(rf"https?://({_AUTHORITY})(|[/?].*)", re.IGNORECASE)
_WORD = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_CODING = re.compile(rf"{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|\"[^\"\\]*\"))*")


def apply(request: Any) -> None:
    """Check a request that gunicorn has parsed, and turn an absolute target into its path and host (section 3.2.2).

    Raises:
        UnsupportedTransferCoding: the body is coded, and not only sent in chunks.
        InvalidHeader: HTTP/1.1 without `Host`, or a malformed `Host`.
        InvalidRequestLine: the target is neither a path nor an absolute URL.
    """
    host = None
    for name, value in request.headers:
        if name == "HOST":
            host = value
        elif name == "TRANSFER-ENCODING" and value.lower() != "chunked":
            raise UnsupportedTransferCoding(value)
    if host is None and request.version >= (1, 1) or host is not None and not _HOST.fullmatch(host):
        raise InvalidHeader("HOST", req=request)
    if not request.uri.startswith("/"):
        _make_relative(request)


def is_unknown_coding(error: Exception) -> bool:
    """Return whether the parser rejected a transfer coding that may be valid, but that this server does not know."""
    if isinstance(error, UnsupportedTransferCoding):
        codings = str(error.hdr).split(",")
    elif isinstance(error, InvalidHeader) and error.hdr == "TRANSFER-ENCODING" and error.req:
        values = [value for name, value in error.req.headers if name == "TRANSFER-ENCODING"]
        codings = ",".join(values).split(",")
        if any(coding.strip().lower() == "chunked" for coding in codings):
            return False  # chunks that are not the last coding, or twice
    else:
        return False
    return all(_CODING.fullmatch(coding.strip()) for coding in codings)


def _make_relative(request: Any) -> None:
    if request.method == "OPTIONS" and request.uri == "*":
        return
    target = _ABSOLUTE.fullmatch(request.uri)
    if target is None or not target[1]:
        raise InvalidRequestLine(request.uri)
    request.uri = target[2] if target[2].startswith("/") else f"/{target[2]}"
    request.path = request.path or "/"
    request.headers = [each for each in request.headers if each[0] != "HOST"] + [("HOST", target[1])]
