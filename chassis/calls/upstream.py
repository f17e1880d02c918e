"""One callee as this process knows it: its endpoints, its breaker, its bulkhead, its retry budget."""

from collections.abc import Callable
from typing import TypeVar

from chassis.calls.breaker import Breaker
from chassis.calls.discovery import Endpoints
from chassis.calls.guards import Bulkhead, RetryBudget
from chassis.calls.outcomes import NotRetryable, Unreachable
from chassis.errors import OutcomeUnknown, TransientError
from chassis.observe import metrics, trace
from chassis.observe.log import log

T = TypeVar("T")

_STATES = {"closed": 0, "half-open": 1, "open": 2}


class Upstream:
    """What stands between a caller and the wire."""

    def __init__(self, name: str, endpoints: Endpoints, places: int) -> None:
        self.name, self.budget = name, RetryBudget(name)
        self._endpoints, self._bulkhead = endpoints, Bulkhead(name, places)
        self._breaker = Breaker(self._changed)
        metrics.breaker_state[name].set(_STATES[self._breaker.state])
        metrics.start_at_zero(name)

    def ask(self, once: Callable[[str], T]) -> T:
        """What `once(address)` returns. Raises NotRetryable where the bulkhead is full, the breaker open, or nobody there.

        Silence, broken answers and 5xx count as failures. A shed request does not: who sheds answers fast and serves
        what it can, and the breaker would turn a callee at its limit into none at all; Retry-After and the budget
        keep the retries away from it.
        """
        with self._bulkhead.place():
            era = self._breaker.allows()
            if not era:
                raise NotRetryable(f"calls of {self.name} fail; none is sent for a while")
            trouble: TransientError | None = None
            try:
                return self._endpoints.ask(once)
            except TransientError as error:
                trouble = error
                raise
            finally:
                self._breaker.record(era, succeeded=not isinstance(trouble, (OutcomeUnknown, Unreachable)))
                if trouble is None:
                    self.budget.earn()

    def _changed(self, state: str) -> None:
        metrics.breaker_state[self.name].set(_STATES[state])
        metrics.breaker_changes[self.name, state].inc()
        trace.current().event("breaker changed", {"breaker.callee": self.name, "breaker.state": state})
        log.warning("a breaker changed", callee=self.name, state=state)
