"""The router: on one machine it replaces the Ingress and sends each public path, unchanged, to its service.

client ──► router ──► the service with this exact path, else with the longest prefix that the path is under
             └──────► 404 for everything else, so that /internal/ and /metrics cannot be reached

Its span is the first of a trace: a service believes its traceparent, and that of no client, by its service token.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from chassis import clock
from chassis.calls.tokens import ServiceTokens
from chassis.observe import export, metrics, paths, trace
from chassis.observe.health import Health
from chassis.observe.log import log
from chassis.settings import settings
from chassis.web import limits, problem_document
from chassis.web.middleware import ROUTER_TOKEN, SERVER_OPTIONS, WHOLE_SERVER, is_refused
from chassis.web.request_buffer import is_above_limit
from mercato.catalog import catalog, owner
from mercato.local.upstream import ConnectionLost, ResponseTimeout, Unreachable, Upstream

THREADS = 48

_HOP_BY_HOP = {"CONNECTION", "KEEP_ALIVE", "PROXY_AUTHENTICATE", "PROXY_AUTHORIZATION", "PROXY_CONNECTION"}
_HOP_BY_HOP |= {"TE", "TRAILER", "TRANSFER_ENCODING", "UPGRADE", "EXPECT"}
_SPOOFED = {"X_DEADLINE_MS", "FORWARDED", "X_REAL_IP", "TRACEPARENT", "TRACESTATE", "BAGGAGE", "X_ROUTER_TOKEN"}
_SPOOFED |= {"X_SERVICE_TOKEN", "X_CLIENT_ADDRESS"}
_DROPPED = {f"HTTP_{name}" for name in _HOP_BY_HOP | _SPOOFED}
"""Removed from a request, as keys of a WSGI environment."""

_RESPONSE_DROPPED = {name.lower().replace("_", "-") for name in _HOP_BY_HOP} | {"server", "date"}
"""Removed from a response; gunicorn adds its own Server and Date."""

_NAME = "router"

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Router:
    """A WSGI app. It replaces the client's X-Forwarded-For and -Proto, and adds X-Request-Id if there is none.

    It measures, traces and logs each request as the services do; its route is that of the catalog.
    """

    def __init__(self) -> None:
        log.setup(_NAME, _NAME, settings().log_level)
        export.start(_NAME, _NAME)
        health = Health(_NAME, lambda: None)
        health.serve(settings().host, settings().health_port)
        health.started = True
        secret, *accepted = settings().platform_secrets
        self._tokens = ServiceTokens(_NAME, secret, accepted)
        timeout_s = settings().deadline + 1
        self._upstreams = {
            name: Upstream(settings().addresses[name], timeout_s) for name in catalog() if name in settings().addresses
        }

    def __call__(self, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        started_at, method, status = clock.monotonic(), environ["REQUEST_METHOD"], "500"
        path = environ["RAW_URI"].partition("?")[0]
        route, name = owner(path)

        def start_and_note(line: str, headers: list[tuple[str, str]]) -> None:
            nonlocal status
            status = line[:3]
            start(line, headers)

        with trace.continue_trace(None, method, "server") as span:
            try:
                return self._pass_on(name, environ, start_and_note)
            finally:
                duration_s = clock.monotonic() - started_at
                metric_method = method if method in trace.METHODS else "_OTHER"
                exemplar = trace.exemplar(span.traceparent)
                metrics.requests[metric_method, route, status].observe(duration_s, exemplar)
                span.set_response(method, route, int(status))
                log.info(
                    "request",
                    method=method[:10],
                    route=route,
                    upstream=name,
                    status=int(status),
                    ms=round(duration_s * 1000, 1),
                    **({} if route else {"path": paths.loggable(unquote(path, "latin-1"))}),
                )

    def _pass_on(self, name: str, environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
        target: str = environ["RAW_URI"]
        if environ["REQUEST_METHOD"] == "OPTIONS" and target == WHOLE_SERVER:
            start("204 No Content", [*SERVER_OPTIONS.items(), ("X-Trace-Id", trace.trace_id())])
            return []
        upstream = self._upstreams.get(name)
        if upstream is None:
            return _problem(start, 404, "There is nothing at this address.", environ)
        body: bytes = environ["wsgi.input"].read()  # complete and within the limit: the server checks both
        try:
            with trace.span(name, "client", {"server.address": name}):
                head = _head(environ, target, len(body), self._tokens.issue(name))
                status, headers, content = upstream.send(environ["REQUEST_METHOD"], head, body)
            is_above_limit.set(is_refused(status, environ, limits.is_of_caller(headers)))
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


def _head(environ: dict[str, Any], target: str, length: int, token: str) -> bytes:
    """Return the request line and the header fields for the service; `token` proves whose trace it is."""
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
    lines.append(f"Traceparent: {trace.traceparent()}")
    lines.append(f"{ROUTER_TOKEN}: {token}")
    lines.append(f"X-Forwarded-For: {environ['REMOTE_ADDR']}")
    lines.append(f"X-Forwarded-Proto: {environ['wsgi.url_scheme']}")
    if "HTTP_X_REQUEST_ID" not in environ:
        lines.append(f"X-Request-Id: {clock.new_id()}")
    return "\r\n".join((*lines, "\r\n")).encode("latin-1")


def _problem(
    start: StartResponse, status: int, detail: str, environ: dict[str, Any], error: Exception | None = None
) -> list[bytes]:
    """Return an RFC 9457 response; an error is logged under the same trace id."""
    if error is not None:
        log.warning("request failed at its service", status=status, error=error)
    title = HTTPStatus(status).phrase
    body = problem_document.encode(status, title, detail, environ["RAW_URI"].partition("?")[0], trace.trace_id())
    headers = [
        ("Content-Type", problem_document.MEDIA_TYPE),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Trace-Id", trace.trace_id()),
    ]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "1"))
    start(f"{status} {title}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
