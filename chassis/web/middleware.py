"""What every request passes before Flask sees it: trace, deadline, its body whole, one metric, one log line."""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from flask import Flask

from chassis import clock, deadline
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.settings import settings
from chassis.web import bodies, problems
from chassis.web.problems import Problem
from chassis.web.request_buffer import arrived

ROUTE, CALLER, RESPONSE_HEADERS = "chassis.route", "chassis.caller", "chassis.response_headers"
"""Where in the environment the app leaves the route's template, the caller's id, and headers for whatever answer."""


class Middleware:
    """One WSGI layer around a Flask app."""

    def __init__(self, flask: Flask) -> None:
        self.flask, self._app = flask, flask.wsgi_app

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        began = arrived.get() or clock.monotonic()
        status = "500"

        def started(line: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal status
            status = line[:3]
            if told := environ.get(RESPONSE_HEADERS):
                own = {name for name, _ in headers}
                headers += [each for each in told.items() if each[0] not in own]
            headers.append(("X-Trace-Id", trace.trace_id()))
            return start(line, headers, *error)

        method = environ["REQUEST_METHOD"]
        with (
            trace.continue_trace(environ.get("HTTP_TRACEPARENT"), method, "server") as span,
            deadline.within(_allowed(environ, began)),
        ):
            try:
                if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
                    _take_body(environ)
                return self._app(environ, started)
            except Problem as problem:
                return problems.to_response(problem, environ["PATH_INFO"])(environ, started)
            finally:
                took = clock.monotonic() - began
                route = environ.get(ROUTE, "")
                known = method if route or method in trace.METHODS else "_OTHER"
                metrics.requests[known, route, status].observe(took, trace.exemplar(span.traceparent))
                if status == "504":
                    metrics.deadline_misses[route].inc()
                span.set_response(method, route, int(status))
                log.info(
                    "request",
                    method=method[:10],
                    route=route,
                    status=int(status),
                    ms=round(took * 1000, 1),
                    caller=environ.get(CALLER, ""),
                )


def _allowed(environ: dict[str, Any], began: float) -> float:
    """Seconds this request may still take: only a service may shorten it, for what is asked from outside has ours."""
    allowed = settings().deadline
    given = environ.get("HTTP_X_DEADLINE_MS", "")
    if given and environ["PATH_INFO"].startswith("/internal/") and given.isascii() and given.isdigit():
        allowed = min(allowed, int(given[:9]) / 1000)
    return allowed - (clock.monotonic() - began)


def _take_body(environ: dict[str, Any]) -> None:
    """Read it whatever becomes of the request: the server closes a connection on which a body was left."""
    body = environ["wsgi.input"].read()
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    if len(body) > bodies.LARGEST:
        raise Problem(413, f"A body has at most {bodies.LARGEST} bytes.")
