"""The metrics that every service has: docs/metrics.md is the list. Labels are few and bounded, never ids.

metrics.retries["orders"].inc()
metrics.requests["GET", "/api/orders/{id}", "200"].observe(0.012)
"""

import threading
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

M = TypeVar("M", Counter, Gauge, Histogram)


class Children(dict[str | tuple[str, ...], M], Generic[M]):
    """The children of a metric by the values of its labels, each bound once: `labels` costs ten times as much."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric: M = metric

    def __missing__(self, values: str | tuple[str, ...]) -> M:
        bound: M = self._metric.labels(*((values,) if isinstance(values, str) else values))
        return self.setdefault(values, bound)


ANSWERS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets for what somebody waits for, in seconds."""
OPERATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Buckets for a part of that."""
COURSES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""Buckets for what goes on by itself."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series for each that says when it began


def counter(name: str, about: str, *labels: str) -> Children[Counter]:
    return Children(Counter(name, about, labels))


def gauge(name: str, about: str, *labels: str) -> Children[Gauge]:
    return Children(Gauge(name, about, labels))


def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Children[Histogram]:
    return Children(Histogram(name, about, labels, buckets=buckets))


_REQUEST = "http_request_method", "http_route", "http_response_status_code"
requests = histogram("http_server_request_duration_seconds", "Requests served", ANSWERS, *_REQUEST)
shed = Counter("http_server_requests_shed_total", "Requests refused for want of a thread")
too_late = counter("http_server_deadline_misses_total", "Requests whose deadline had passed", "http_route")
rate_limited = counter("http_server_rate_limited_total", "Requests beyond a rate limit", "http_route")
replays = counter("http_server_idempotent_replays_total", "Answers given again to an idempotency key", "http_route")

_CALL = "server_address", "url_template", "http_request_method", "http_response_status_code", "error_type"
calls = histogram("http_client_request_duration_seconds", "Calls of other services, retries included", ANSWERS, *_CALL)
retries = counter("http_client_retries_total", "Tries of a call behind its first", "server_address")
calls_too_late = counter("http_client_deadline_misses_total", "Calls with no answer in their time", "server_address")
fallbacks = counter("http_client_fallbacks_total", "Stale answers given where none could be had", "server_address")
breaker = gauge("circuit_breaker_state", "0 closed, 1 half-open, 2 open", "server_address")
breaker_changes = counter("circuit_breaker_changes_total", "Changes by the state taken", "server_address", "state")
budget = gauge("retry_budget_remaining", "Retries that may still be made", "server_address")
budget_exhausted = counter("retry_budget_exhausted_total", "Retries that were not paid for", "server_address")
bulkhead = gauge("bulkhead_in_use", "Calls under way", "server_address")
bulkhead_rejected = counter("bulkhead_rejected_total", "Calls refused for too many under way", "server_address")

_OPERATION = "db_operation_name", "db_collection_name", "error_type"
store = histogram("db_client_operation_duration_seconds", "Operations of the store", OPERATIONS, *_OPERATION)

pending = gauge("outbox_pending", "Events that wait to be published", "collection")
oldest = gauge("outbox_oldest_age_seconds", "Age of the oldest event that waits", "collection")
published = counter("relay_published_total", "Events that the log has acknowledged", "collection")
unpublished = counter("relay_failed_total", "Events sent and not acknowledged", "collection")
lag = gauge("consumer_lag", "Records that wait to be consumed", "topic")
consumed = counter("consumer_events_total", "Events by how they ended, and retries", "topic", "outcome")
delay = histogram("consumer_delay_seconds", "From an event's commit to its effect", COURSES, "topic")
parked = Gauge("dead_letters", "Events that are parked")

sagas_started = counter("saga_started_total", "Sagas begun", "saga")
sagas_finished = counter("saga_finished_total", "Sagas ended", "saga", "outcome")
saga_duration = histogram("saga_duration_seconds", "From beginning to end", COURSES, "saga", "outcome")
saga_steps = counter("saga_steps_total", "Saga steps by outcome", "saga", "step", "outcome")
sagas_open = gauge("saga_open", "Sagas that have not ended, by the step they are at", "saga", "step")
saga_oldest = gauge("saga_oldest_age_seconds", "Age of the oldest that is open", "saga", "step")
sagas_stuck = gauge("saga_stuck", "Sagas whose undoing failed ten times or more", "saga")

lost_lines = Counter("log_lines_lost_total", "Log lines that could not be written or exported")
threads = Gauge("process_threads", "Threads of the interpreter, those that wait included")
threads.set_function(threading.active_count)


def from_zero(callee: str) -> None:
    """Tell what is counted of this callee before there is any of it: no rate counts what a series begins with."""
    for each in (retries, calls_too_late, fallbacks, budget_exhausted, bulkhead_rejected):
        each[callee].inc(0)
