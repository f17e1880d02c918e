"""What keeps calls from making an overload worse: a budget for retries, and a bulkhead for each callee."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chassis import deadline
from chassis.calls.outcomes import NotRetryable
from chassis.observe import metrics

SHARE, LARGEST, BEGINNING = 0.1, 100.0, 10.0
PATIENCE = 0.1


class RetryBudget:
    """Retries are paid for by successes, ten for one: what fails everywhere is not asked three times as often.

    The bucket is that of Finagle's RetryBudget, without its time limit.
    """

    def __init__(self, callee: str) -> None:
        self._callee, self._lock = callee, threading.Lock()
        self._tokens = BEGINNING
        metrics.retry_budget[callee].set_function(lambda: int(self._tokens))

    def earn(self) -> None:
        """A call succeeded."""
        with self._lock:
            self._tokens = min(LARGEST, self._tokens + SHARE)

    def spend(self) -> bool:
        """Whether one more retry may be made."""
        with self._lock:
            if self._tokens < 1:
                metrics.retry_budget_exhausted[self._callee].inc()
                return False
            self._tokens -= 1
            return True


class Bulkhead:
    """At most so many calls of one callee at once, so that a slow one leaves threads for the others."""

    def __init__(self, callee: str, size: int) -> None:
        self._callee, self._places = callee, threading.BoundedSemaphore(size)
        self._taken = metrics.bulkhead[callee]

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises NotRetryable if none is free within 100 ms, or what is left of the deadline; DeadlineExceeded."""
        if not self._places.acquire(timeout=deadline.remaining(PATIENCE)):
            metrics.bulkhead_rejected[self._callee].inc()
            raise NotRetryable(f"too many calls of {self._callee} at once")
        self._taken.inc()
        try:
            yield
        finally:
            self._taken.dec()
            self._places.release()
