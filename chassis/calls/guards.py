"""Guards that keep calls from making an overload worse: a retry budget and a bulkhead for each upstream."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chassis import deadline
from chassis.calls.outcomes import NotRetryable
from chassis.observe import metrics

RETRIES_PER_SUCCESS = 0.1
MAX_RETRIES, INITIAL_RETRIES = 100.0, 10.0
MAX_WAIT_S = 0.1
"""Time that a call waits for a place in the bulkhead."""


class RetryBudget:
    """Retries that may still be made; ten successful calls earn one.

    So retries add at most a tenth to the load of a failing upstream. The token bucket is that of Finagle's RetryBudget,
    without its time limit.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream, self._lock = upstream, threading.Lock()
        self._retries = INITIAL_RETRIES
        metrics.retry_budget[upstream].set_function(lambda: int(self._retries))

    def earn(self) -> None:
        """Add what a successful call earns."""
        with self._lock:
            self._retries = min(MAX_RETRIES, self._retries + RETRIES_PER_SUCCESS)

    def spend(self) -> bool:
        """Take one retry from the budget; return False if it is empty."""
        with self._lock:
            if self._retries < 1:
                metrics.retry_budget_exhausted[self._upstream].inc()
                return False
            self._retries -= 1
            return True


class Bulkhead:
    """A limit on the concurrent calls to one upstream, so that a slow one leaves threads for the others."""

    def __init__(self, upstream: str, max_calls: int) -> None:
        self._upstream, self._places = upstream, threading.BoundedSemaphore(max_calls)
        self._in_use = metrics.bulkhead[upstream]

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises NotRetryable if none is free within 100 ms or the deadline; DeadlineExceeded."""
        if not self._places.acquire(timeout=deadline.remaining(MAX_WAIT_S)):
            metrics.bulkhead_rejected[self._upstream].inc()
            raise NotRetryable(f"bulkhead full for {self._upstream}")
        self._in_use.inc()
        try:
            yield
        finally:
            self._in_use.dec()
            self._places.release()
