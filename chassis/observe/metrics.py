"""The metrics that every service has; docs/metrics.md lists them. Labels are few and bounded, never ids.

metrics.retries["orders"].inc()
metrics.requests["GET", "/api/orders/{id}", "200"].observe(0.012)

Names that OpenTelemetry's conventions define stay as they are; every other begins with the name of the platform.
"""

import threading
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from chassis.observe.outage import Outage
from chassis.settings import PLATFORM

M = TypeVar("M", Counter, Gauge, Histogram)


class Children(dict[str | tuple[str, ...], M], Generic[M]):
    """Children of a metric by their label values, each bound once: `labels` costs ten times as much."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric: M = metric

    def __missing__(self, values: str | tuple[str, ...]) -> M:
        bound: M = self._metric.labels(*((values,) if isinstance(values, str) else values))
        return self.setdefault(values, bound)


REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets for work that a client waits for."""
OPERATION_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Buckets for one operation within a request."""
_MINUTES = 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60
OUTAGE_BUCKETS_S = (20.0, 30.0, 45.0, *(60.0 * minutes for minutes in _MINUTES))
"""Buckets for work that waits for the end of an outage: each at most half as long again as the one before."""
BACKGROUND_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, *OUTAGE_BUCKETS_S)
"""Buckets for background work."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series


def platform_name(name: str) -> str:
    """Return the full name of a metric that no convention defines: `PLATFORM_name`."""
    return f"{PLATFORM}_{name}"


def counter(name: str, description: str, *labels: str) -> Children[Counter]:
    """Make a counter of the platform, with these labels."""
    return Children(Counter(platform_name(name), description, labels))


def gauge(name: str, description: str, *labels: str) -> Children[Gauge]:
    """Make a gauge of the platform, with these labels."""
    return Children(Gauge(platform_name(name), description, labels))


def histogram(name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Children[Histogram]:
    """Make a histogram of the platform, with these labels."""
    return Children(Histogram(platform_name(name), description, labels, buckets=buckets))


def _standard(name: str, description: str, buckets: tuple[float, ...], *labels: str) -> Children[Histogram]:
    return Children(Histogram(name, description, labels, buckets=buckets))


_REQUEST = "http_request_method", "http_route", "http_response_status_code"
requests = _standard(
    "http_server_request_duration_seconds", "Duration of inbound requests", REQUEST_BUCKETS_S, *_REQUEST
)
shed_requests = counter(
    "http_server_requests_shed_total", "Requests shed because no worker thread was free", "audience"
)
PUBLIC, INTERNAL = "public", "internal"
"""Values of `audience`: routes that the Ingress serves, and those of other services alone."""
for _audience in (PUBLIC, INTERNAL):
    shed_requests[_audience].inc(0)
deadline_misses = counter(
    "http_server_deadline_misses_total", "Requests rejected because their deadline had passed", "http_route"
)
rate_limited = counter("http_server_rate_limited_total", "Requests rejected by a rate limit", "http_route")
idempotent_replays = counter(
    "http_server_idempotent_replays_total", "Responses replayed for a repeated idempotency key", "http_route"
)

_CALL = "server_address", "url_template", "http_request_method", "http_response_status_code", "error_type"
calls = _standard(
    "http_client_request_duration_seconds",
    "Duration of calls to other services with their retries",
    REQUEST_BUCKETS_S,
    *_CALL,
)
retries = counter("http_client_retries_total", "Retries of calls to other services", "server_address")
call_deadline_misses = counter(
    "http_client_deadline_misses_total", "Calls that got no response before their deadline or timeout", "server_address"
)
fallbacks = counter("http_client_fallbacks_total", "Stale responses used because a call failed", "server_address")
breaker_state = gauge(
    "circuit_breaker_state", "State of the circuit breaker: 0 closed, 1 half-open, 2 open", "server_address"
)
breaker_changes = counter(
    "circuit_breaker_changes_total", "State changes of the circuit breaker, by new state", "server_address", "state"
)
retry_budget = gauge("retry_budget_remaining", "Retries left in the retry budget", "server_address")
retry_budget_exhausted = counter(
    "retry_budget_exhausted_total", "Retries dropped because the retry budget was empty", "server_address"
)
bulkhead = gauge("bulkhead_in_use", "Calls in flight", "server_address")
bulkhead_rejected = counter("bulkhead_rejected_total", "Calls rejected by a full bulkhead", "server_address")

_OPERATION = "db_operation_name", "db_collection_name", "error_type"
store = _standard(
    "db_client_operation_duration_seconds", "Duration of store operations", OPERATION_BUCKETS_S, *_OPERATION
)
_unavailable = gauge(
    "store_unavailable_seconds", "Time for which all operations on the store have failed, by access", "access"
)
reads, writes = Outage(_unavailable["read"]), Outage(_unavailable["write"])
bus_outage = Outage(
    Gauge(platform_name("bus_unavailable_seconds"), "Time for which the message bus has acknowledged no event")
)

outbox_pending = gauge("outbox_pending", "Events in the outbox that are not published yet", "collection")
outbox_oldest_age = gauge("outbox_oldest_age_seconds", "Age of the oldest unpublished event", "collection")
relay_published = counter("relay_published_total", "Events that the message bus acknowledged", "collection")
relay_failed = counter("relay_failed_total", "Events that the message bus did not acknowledge", "collection")
set_aside = gauge("set_aside", "Entries of an outbox or job that failed three times and are set aside", "source")
consumer_lag = gauge("consumer_lag", "Records behind the end of the topic", "topic")
consumer_events = counter("consumer_events_total", "Consumed events by outcome, and retries", "topic", "outcome")
consumer_delay = histogram(
    "consumer_delay_seconds", "Time from the commit of an event to its effect", BACKGROUND_BUCKETS_S, "topic"
)
dead_letters = Gauge(platform_name("dead_letters"), "Dead letters of this service")
job_restarts = counter("job_restarts_total", "Restarts of a worker job after an error", "job_name")

sagas_started = counter("saga_started_total", "Sagas started", "saga")
sagas_finished = counter("saga_finished_total", "Sagas finished, by outcome", "saga", "outcome")
saga_duration = histogram(
    "saga_duration_seconds", "Duration of sagas from start to end", BACKGROUND_BUCKETS_S, "saga", "outcome"
)
saga_steps = counter("saga_steps_total", "Attempts of saga steps, by outcome", "saga", "step", "outcome")
sagas_open = gauge("saga_open", "Open sagas by current step", "saga", "step")
saga_oldest = gauge("saga_oldest_age_seconds", "Age of the oldest open saga by current step", "saga", "step")
sagas_blocked = gauge("saga_blocked", "Sagas that wait for an operator, by current step", "saga", "step")
sagas_waiting = gauge("saga_waiting", "Sagas that wait for a person, by current step", "saga", "step")
sagas_stuck = gauge("saga_stuck", "Sagas with a compensation that failed ten times or more", "saga")

lost_log_lines = Counter(platform_name("log_lines_lost_total"), "Log lines that could not be written or exported")
threads = Gauge(platform_name("process_threads"), "Threads of the Python interpreter, idle ones included")
threads.set_function(threading.active_count)


def start_at_zero(upstream: str) -> None:
    """Export this upstream's counters as 0 before the first event: `rate` ignores the value a series starts with."""
    for each in (retries, call_deadline_misses, fallbacks, retry_budget_exhausted, bulkhead_rejected):
        each[upstream].inc(0)
