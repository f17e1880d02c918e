"""The metrics that every service has; labels are few and bounded, never ids."""

from prometheus_client import Counter, Gauge, Histogram

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

requests = Histogram("http_requests_seconds", "Requests served", ["method", "route", "status"], buckets=_BUCKETS)
shed = Counter("http_requests_shed_total", "Requests refused for want of a thread")
lost_lines = Counter("log_lines_lost_total", "Log lines that could not be written")
calls = Histogram("calls_seconds", "Calls of other services", ["callee", "command", "outcome"], buckets=_BUCKETS)
breaker = Gauge("breaker_state", "0 closed, 1 half-open, 2 open", ["callee"])
breaker_changes = Counter("breaker_changes_total", "Changes of a breaker, by the state it took", ["callee", "state"])
fallbacks = Counter("calls_fallbacks_total", "Stale answers given where a callee could not be asked", ["callee"])
published = Counter("outbox_published_total", "Events published from the outbox", ["collection"])
pending = Gauge("outbox_pending", "Aggregates or events that wait to be published", ["collection"])
consumed = Counter("events_consumed_total", "Events by how they ended: handled, skipped, parked", ["topic", "outcome"])
delay = Histogram("events_delay_seconds", "From an event's commit to its effect", ["topic"], buckets=_BUCKETS)
lag = Gauge("events_lag", "Records that wait to be consumed", ["topic"])
parked = Gauge("dead_letters", "Events that are parked")
saga_steps = Counter("saga_steps_total", "Saga steps by outcome", ["saga", "step", "outcome"])
sagas_open = Gauge("sagas_open", "Sagas that have not ended", ["saga"])
sagas_stuck = Gauge("sagas_stuck", "Sagas whose undoing failed ten times or more", ["saga"])
