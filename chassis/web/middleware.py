"""What every request passes before Flask sees it: trace, deadline, one metric, one log line."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import Histogram

from chassis import clock
from chassis.calls import deadline
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.settings import settings

ROUTE, CALLER = "mercato.route", "mercato.caller"
"""Where in the environment the app leaves the route's template and the caller's id for the log line."""

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Middleware:
    """One WSGI layer around the app; metric children are bound once for each route and status."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app
        self._timers: dict[tuple[str, str, str], Histogram] = {}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        began = clock.monotonic()
        status = "500"

        def started(line: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal status
            status = line[:3]
            headers.append(("X-Trace-Id", trace.trace_id()))
            return start(line, headers, *error)

        with trace.continued(environ.get("HTTP_TRACEPARENT")), deadline.within(_allowed(environ)):
            try:
                return self._app(environ, started)
            finally:
                took = clock.monotonic() - began
                method, route = environ["REQUEST_METHOD"], environ.get(ROUTE, "none")
                self._timer(method if route != "none" else "other", route, status).observe(took)
                log.info(
                    "request",
                    method=method[:10],
                    route=route,
                    status=int(status),
                    ms=round(took * 1000, 1),
                    caller=environ.get(CALLER, ""),
                )

    def _timer(self, *labels: str) -> Histogram:
        key = labels[0], labels[1], labels[2]
        if key not in self._timers:
            self._timers[key] = metrics.requests.labels(*key)
        return self._timers[key]


def _allowed(environ: dict[str, Any]) -> float:
    """Seconds this request may take: only a service may shorten it, for what is asked from outside has ours."""
    longest = settings().deadline
    given = environ.get("HTTP_X_DEADLINE_MS", "")
    if environ["PATH_INFO"].startswith("/internal/") and given.isascii() and given.isdigit():
        return min(longest, int(given[:9]) / 1000)
    return longest
