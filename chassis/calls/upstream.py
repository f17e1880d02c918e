"""One called service as this process sees it: endpoints, circuit breaker, bulkhead, retry budget."""

from collections.abc import Callable
from typing import TypeVar

from chassis.calls.breaker import CLOSED, DEFAULT_POLICY, HALF_OPEN, OPEN, Breaker, BreakerPolicy
from chassis.calls.discovery import Endpoints
from chassis.calls.guards import Bulkhead, RetryBudget
from chassis.calls.outcomes import NotRetryable, Unreachable
from chassis.errors import OutcomeUnknown, TransientError
from chassis.observe import metrics, trace
from chassis.observe.log import log

T = TypeVar("T")

_STATES = {CLOSED: 0, HALF_OPEN: 1, OPEN: 2}


class Upstream:
    """The guards between the callers in this process and one service."""

    def __init__(
        self, name: str, endpoints: Endpoints, max_calls: int, breaker: BreakerPolicy = DEFAULT_POLICY
    ) -> None:
        self.name, self.budget = name, RetryBudget(name)
        self._endpoints, self._bulkhead = endpoints, Bulkhead(name, max_calls)
        self._breaker = Breaker(self._note_change, breaker)
        metrics.breaker_state[name].set(_STATES[self._breaker.state])
        metrics.start_at_zero(name)

    def call(self, exchange: Callable[[str], T]) -> T:
        """Return `exchange(address)`. Raises NotRetryable if bulkhead or circuit let no call pass.

        Timeouts, lost connections, malformed responses and 5xx count as failures. A shed request does not: an
        overloaded upstream that sheds still serves what it can, and an open circuit would cut it off completely.
        `Retry-After` and the retry budget keep retries away from it.
        """
        with self._bulkhead.place():
            era = self._breaker.acquire()
            if not era:
                raise NotRetryable(f"circuit open for {self.name}")
            failure: TransientError | None = None
            try:
                return self._endpoints.call(exchange)
            except TransientError as error:
                failure = error
                raise
            finally:
                self._breaker.record(era, succeeded=not isinstance(failure, (OutcomeUnknown, Unreachable)))
                if failure is None:
                    self.budget.earn()

    def _note_change(self, state: str) -> None:
        metrics.breaker_state[self.name].set(_STATES[state])
        metrics.breaker_changes[self.name, state].inc()
        trace.current().add_event("circuit breaker changed", {"upstream": self.name, "circuit_breaker.state": state})
        log.warning(f"circuit {state} for {self.name}", upstream=self.name, state=state)
