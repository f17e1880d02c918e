"""The WSGI middleware of every request: trace, deadline, body, one metric, one log line.

Trace and deadline continue those of a calling service, and the trace that of the local router. A client cannot choose a
trace id, have its requests sampled or change a deadline: its `traceparent` and `X-Deadline-Ms` are ignored, whether an
Ingress passes them on or not.
"""

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

from flask import Flask

from chassis import clock, deadline
from chassis.calls.tokens import CLIENT_ADDRESS_HEADER, SERVICE_TOKEN_HEADER, ServiceTokens
from chassis.observe import metrics, paths, trace
from chassis.observe.log import log
from chassis.settings import settings
from chassis.web import bodies, cors, problems
from chassis.web.problems import Problem
from chassis.web.request_buffer import arrived, is_above_limit
from chassis.web.response import WsgiResponse

ROUTE, CALLER = "chassis.route", "chassis.caller"
"""Keys of the WSGI environment, set by the app: the route's template, the caller's id."""
ROUTER_TOKEN = "X-Router-Token"  # noqa: S105  a name
"""Header by which the local router, with a service token, proves that the trace of a request is its own."""
RESPONSE_HEADERS, CALLING_SERVICE = "chassis.response_headers", "chassis.calling_service"
"""Keys of the WSGI environment, set here: headers for any response, to which the app adds; the service that sent the
request, "" for any other client."""
ON_BEHALF_OF = "chassis.on_behalf_of"
"""Key of the WSGI environment, set here: the address of the client that a service calls a public route for, else ""."""
_SERVICE_TOKEN, _CLIENT_ADDRESS = (
    f"HTTP_{name.upper().replace('-', '_')}" for name in (SERVICE_TOKEN_HEADER, CLIENT_ADDRESS_HEADER)
)

WHOLE_SERVER, SERVER_OPTIONS = "*", {"Allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"}
"""The target of OPTIONS that asks about the server as a whole, and the headers of the response (RFC 9110, 9.3.7)."""


class Middleware:
    """One WSGI layer around a Flask app, and around the app of each command by its path."""

    def __init__(self, flask: Flask, tokens: ServiceTokens, commands: Mapping[str, Callable[..., Any]]) -> None:
        self.flask, self._app, self._tokens, self._commands = flask, flask.wsgi_app, tokens, commands
        self._cors = cors.Cors(settings().cors_origins)
        self._default_headers = _default_headers() | self._cors.always
        self.face: Callable[[WsgiResponse, str], WsgiResponse] = lambda problem, path: problem
        """Gives a problem of this path the form in which its clients want it."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        arrived_at = arrived.get() or clock.monotonic()
        status = "500"

        def start_with_headers(line: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal status
            status = line[:3]
            own = {name for name, _ in headers}
            headers += [each for each in environ[RESPONSE_HEADERS].items() if each[0] not in own]
            headers.append(("X-Trace-Id", trace.trace_id()))
            return start_response(line, headers, *error)

        method = environ["REQUEST_METHOD"]
        environ[RESPONSE_HEADERS] = self._default_headers | self._cors.headers(environ)
        parent = limit_ms = environ[ON_BEHALF_OF] = ""
        environ[CALLING_SERVICE] = caller = self._calling_service(environ)
        is_on_behalf = _SERVICE_TOKEN in environ and self._tokens.caller(environ[_SERVICE_TOKEN]) != ""
        if is_on_behalf:
            environ[ON_BEHALF_OF] = environ.get(_CLIENT_ADDRESS, "")
        is_passed_on = bool(caller or is_on_behalf)
        if is_passed_on:
            parent, limit_ms = environ.get("HTTP_TRACEPARENT", ""), environ.get("HTTP_X_DEADLINE_MS", "")
        elif (token := environ.get("HTTP_X_ROUTER_TOKEN")) and self._tokens.caller(token):
            is_passed_on, parent = True, environ.get("HTTP_TRACEPARENT", "")
        with (
            trace.continue_trace(parent, method, "server") as span,
            deadline.within(_time_left_s(limit_ms, arrived_at)),
        ):
            try:
                if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
                    _read_body(environ)
                if method == "OPTIONS" and self._cors.is_preflight(environ):
                    return WsgiResponse(status=204, headers=cors.PREFLIGHT)(environ, start_with_headers)
                if method == "OPTIONS" and environ["PATH_INFO"] == WHOLE_SERVER:
                    return WsgiResponse(status=204, headers=SERVER_OPTIONS)(environ, start_with_headers)
                command = self._commands.get(environ["PATH_INFO"]) if method == "POST" else None
                return (command or self._app)(environ, start_with_headers)
            except Problem as problem:
                path = environ["PATH_INFO"]
                return self.face(problems.to_response(problem, path), path)(environ, start_with_headers)
            finally:
                is_above_limit.set(not is_passed_on and is_refused(status, environ, is_above_limit.get()))
                duration_s = clock.monotonic() - arrived_at
                route = environ.get(ROUTE, "")
                metric_method = method if route or method in trace.METHODS else "_OTHER"
                metrics.requests[metric_method, route, status].observe(duration_s, trace.exemplar(span.traceparent))
                if status == "504":
                    metrics.deadline_misses[route].inc()
                span.set_response(method, route, int(status))
                unmatched = {} if route else {"path": paths.loggable(environ["PATH_INFO"])}
                log.info(
                    "request",
                    method=method[:10],
                    route=route,
                    status=int(status),
                    ms=round(duration_s * 1000, 1),
                    caller=environ.get(CALLER, ""),
                    **unmatched,
                )

    def _calling_service(self, environ: dict[str, Any]) -> str:
        if not environ["PATH_INFO"].startswith("/internal/"):
            return ""
        kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        return self._tokens.caller(token) if kind == "Bearer" else ""


def is_refused(status: str, environ: dict[str, Any], is_above_limit: bool) -> bool:
    """Whether the server paces the caller after this response; `is_above_limit`: of all its requests.

    A token or cookie is that of one caller. An address may be that of many, and only a limit of all their requests
    refuses each of them.
    """
    return status.startswith("429") and (is_above_limit or "HTTP_AUTHORIZATION" in environ or "HTTP_COOKIE" in environ)


def _default_headers() -> dict[str, str]:
    """Return the headers of every response that does not set them itself."""
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if max_age_s := settings().hsts:
        headers["Strict-Transport-Security"] = f"max-age={max_age_s}"
    return headers


def _time_left_s(limit_ms: str, arrived_at: float) -> float:
    """Return the seconds this request may still take: the default, or less if the calling service set a limit."""
    allowed = settings().deadline
    if limit_ms.isascii() and limit_ms.isdigit():
        allowed = min(allowed, int(limit_ms[:9]) / 1000)
    return allowed - (clock.monotonic() - arrived_at)


def _read_body(environ: dict[str, Any]) -> None:
    """Read the body in any case: the server closes a connection on which a part of it is left."""
    body = environ["wsgi.input"].read()
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    max_bytes = bodies.max_bytes(environ.get("CONTENT_TYPE", ""))
    if len(body) > max_bytes:
        raise Problem(413, f"A body has at most {max_bytes} bytes.")
