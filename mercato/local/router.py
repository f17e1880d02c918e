"""The router: stands in the Ingress's place on one machine and sends each public path, unchanged, to its service.

client ──► router ──► the service whose longest prefix the path is under
             └──────► 404 for everything else, so /internal/ and /metrics stay inside
"""

import sys
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import orjson

from chassis import clock
from chassis.settings import settings
from chassis.web import problem_document
from mercato.catalog import catalog, owner
from mercato.local.upstream import Lost, NoAnswer, Unreachable, Upstream

THREADS = 48

_HOP = {"CONNECTION", "KEEP_ALIVE", "PROXY_AUTHENTICATE", "PROXY_AUTHORIZATION", "PROXY_CONNECTION"}
_HOP |= {"TE", "TRAILER", "TRANSFER_ENCODING", "UPGRADE", "EXPECT"}
_SPOOFED = {"X_DEADLINE_MS", "FORWARDED", "X_REAL_IP", "TRACEPARENT", "TRACESTATE", "BAGGAGE"}
_DROPPED = {f"HTTP_{name}" for name in _HOP | _SPOOFED}

_HOP_BACK = {name.lower().replace("_", "-") for name in _HOP}
_OURS = {"server", "date"}  # gunicorn answers with its own
"""Dropped from an answer."""

Start = Callable[[str, list[tuple[str, str]]], Any]


class Router:
    """A WSGI app. It sets X-Forwarded-For and -Proto in place of the client's, and X-Request-Id where there is none."""

    def __init__(self) -> None:
        patience = settings().deadline + 1
        self._upstreams = {
            name: Upstream(settings().addresses[name], patience) for name in catalog() if name in settings().addresses
        }

    def __call__(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        target: str = environ["RAW_URI"]
        name = owner(target.partition("?")[0])
        upstream = self._upstreams.get(name or "")
        if name is None or upstream is None:
            return _problem(start, 404, "There is nothing at this address.", environ)
        if "," in environ.get("HTTP_HOST", ""):
            return _problem(start, 400, "The Host header is there more than once.", environ)
        body: bytes = environ["wsgi.input"].read()  # whole, and within the limit: the server saw to that
        head = _head(environ, target, len(body))
        try:
            status, headers, answer = upstream.send(environ["REQUEST_METHOD"], head, body)
        except Unreachable as error:
            return _problem(start, 503, f"The service {name} is not there just now.", environ, error)
        except Lost as error:
            why = f"The service {name} broke off; the request may or may not have been carried out."
            return _problem(start, 502, why, environ, error)
        except NoAnswer as error:
            why = f"The service {name} did not answer in time; the request may or may not have been carried out."
            return _problem(start, 504, why, environ, error)
        start(status, [(key, value) for key, value in headers if key.lower() not in _HOP_BACK | _OURS])
        return [answer]


def _head(environ: dict[str, Any], target: str, length: int) -> bytes:
    """The request line and the header fields for the service."""
    tokens = environ.get("HTTP_CONNECTION", "").split(",")
    dropped = _DROPPED | {f"HTTP_{token.strip().upper().replace('-', '_')}" for token in tokens}
    lines = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1"]
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in dropped and not key.startswith("HTTP_X_FORWARDED"):
            lines.append(f"{key[5:].replace('_', '-').title()}: {value}")
    if content_type := environ.get("CONTENT_TYPE"):
        lines.append(f"Content-Type: {content_type}")
    if length or environ["REQUEST_METHOD"] in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {length}")
    lines.append(f"X-Forwarded-For: {environ['REMOTE_ADDR']}")
    lines.append(f"X-Forwarded-Proto: {environ['wsgi.url_scheme']}")
    if "HTTP_X_REQUEST_ID" not in environ:
        lines.append(f"X-Request-Id: {clock.new_id()}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1")


def _problem(
    start: Start, status: int, detail: str, environ: dict[str, Any], error: Exception | None = None
) -> list[bytes]:
    """An RFC 9457 answer; one with a cause is logged under the same trace id."""
    trace = clock.entropy(16).hex()
    if error is not None:
        line = {"time": clock.timestamp(), "level": "warning", "service": "router", "traceId": trace}
        sys.stderr.buffer.write(orjson.dumps(line | {"status": status, "error": str(error)}) + b"\n")
        sys.stderr.buffer.flush()
    title = HTTPStatus(status).phrase
    body = problem_document.encode(status, title, detail, environ["RAW_URI"].partition("?")[0], trace)
    headers = [("Content-Type", problem_document.MEDIA_TYPE), ("Content-Length", str(len(body)))]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    start(f"{status} {title}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
