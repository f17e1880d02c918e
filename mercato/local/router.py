"""The router: on one machine it replaces the Ingress and sends each public path, unchanged, to its service.

client ──► router ──► the service whose longest prefix the path is under
             └──────► 404 for everything else, so that /internal/ and /metrics cannot be reached
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from chassis import clock
from chassis.observe.log import log
from chassis.settings import settings
from chassis.web import problem_document
from mercato.catalog import catalog, owner
from mercato.local.upstream import ConnectionLost, ResponseTimeout, Unreachable, Upstream

THREADS = 48

_HOP_BY_HOP = {"CONNECTION", "KEEP_ALIVE", "PROXY_AUTHENTICATE", "PROXY_AUTHORIZATION", "PROXY_CONNECTION"}
_HOP_BY_HOP |= {"TE", "TRAILER", "TRANSFER_ENCODING", "UPGRADE", "EXPECT"}
_SPOOFED = {"X_DEADLINE_MS", "FORWARDED", "X_REAL_IP", "TRACEPARENT", "TRACESTATE", "BAGGAGE"}
_DROPPED = {f"HTTP_{name}" for name in _HOP_BY_HOP | _SPOOFED}
"""Removed from a request, as keys of a WSGI environment."""

_RESPONSE_DROPPED = {name.lower().replace("_", "-") for name in _HOP_BY_HOP} | {"server", "date"}
"""Removed from a response; gunicorn adds its own Server and Date."""

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Router:
    """A WSGI app. It replaces the client's X-Forwarded-For and -Proto, and adds X-Request-Id if there is none.

    It logs each request as the services do, but for the path and the query, which may hold what a log must not.
    """

    def __init__(self) -> None:
        log.setup("router", "router", settings().log_level)
        timeout_s = settings().deadline + 1
        self._upstreams = {
            name: Upstream(settings().addresses[name], timeout_s) for name in catalog() if name in settings().addresses
        }

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        started_at, name = clock.monotonic(), owner(environ["RAW_URI"].partition("?")[0]) or ""

        def start_and_log(line: str, headers: list[tuple[str, str]]) -> None:
            start(line, headers)
            log.info(
                "request",
                method=environ["REQUEST_METHOD"][:10],
                upstream=name,
                status=int(line[:3]),
                ms=round((clock.monotonic() - started_at) * 1000, 1),
                traceId=next((value for key, value in headers if key.lower() == "x-trace-id"), ""),
            )

        return self._pass_on(name, environ, start_and_log)

    def _pass_on(self, name: str, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        target: str = environ["RAW_URI"]
        upstream = self._upstreams.get(name)
        if upstream is None:
            return _problem(start, 404, "There is nothing at this address.", environ)
        body: bytes = environ["wsgi.input"].read()  # complete and within the limit: the server checks both
        head = _head(environ, target, len(body))
        try:
            status, headers, content = upstream.send(environ["REQUEST_METHOD"], head, body)
        except Unreachable as error:
            return _problem(start, 503, f"The service {name} is unavailable.", environ, error)
        except ConnectionLost as error:
            why = f"The service {name} closed the connection; the request may or may not have been carried out."
            return _problem(start, 502, why, environ, error)
        except ResponseTimeout as error:
            why = f"The service {name} did not answer in time; the request may or may not have been carried out."
            return _problem(start, 504, why, environ, error)
        start(status, [(key, value) for key, value in headers if key.lower() not in _RESPONSE_DROPPED])
        return [content]


def _head(environ: dict[str, Any], target: str, length: int) -> bytes:
    """Return the request line and the header fields for the service."""
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
    if "HTTP_HOST" not in environ:  # HTTP/1.0; the service gets HTTP/1.1, which needs one
        lines.append("Host:")
    lines.append(f"X-Forwarded-For: {environ['REMOTE_ADDR']}")
    lines.append(f"X-Forwarded-Proto: {environ['wsgi.url_scheme']}")
    if "HTTP_X_REQUEST_ID" not in environ:
        lines.append(f"X-Request-Id: {clock.new_id()}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1")


def _problem(
    start: StartResponse, status: int, detail: str, environ: dict[str, Any], error: Exception | None = None
) -> list[bytes]:
    """Return an RFC 9457 response; an error is logged under the same trace id."""
    trace = clock.entropy(16).hex()
    if error is not None:
        log.warning("request failed at its service", status=status, error=error, traceId=trace)
    title = HTTPStatus(status).phrase
    body = problem_document.encode(status, title, detail, environ["RAW_URI"].partition("?")[0], trace)
    headers = [
        ("Content-Type", problem_document.MEDIA_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Trace-Id", trace),
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    start(f"{status} {title}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
