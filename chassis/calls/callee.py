"""One callee as this process knows it: its endpoints, its breaker, its bulkhead, its retry budget."""

from collections.abc import Iterator
from contextlib import contextmanager

from chassis.calls.breaker import Breaker
from chassis.calls.discovery import Endpoints
from chassis.calls.guards import Bulkhead, RetryBudget
from chassis.errors import NotSent, Trouble
from chassis.observe import metrics
from chassis.observe.log import log

_STATES = {"closed": 0, "half-open": 1, "open": 2}


class Callee:
    """What stands between a caller and the wire."""

    def __init__(self, name: str, endpoints: Endpoints, places: int) -> None:
        self.name, self.budget = name, RetryBudget()
        self._endpoints, self._bulkhead = endpoints, Bulkhead(name, places)
        self.breaker = Breaker(self._changed)

    @contextmanager
    def attempt(self) -> Iterator[str]:
        """The address for one attempt. Raises NotSent where the bulkhead is full, the breaker open, or nobody there.

        Trouble in the block counts as a failure of the callee; what it refuses does not.
        """
        with self._bulkhead.place():
            if not self.breaker.allows():
                raise NotSent(f"calls of {self.name} fail; none is sent for a while")
            succeeded = True
            try:
                with self._endpoints.address() as address:
                    yield address
            except Trouble:
                succeeded = False
                raise
            finally:
                self.breaker.record(succeeded)
                if succeeded:
                    self.budget.earn()

    def _changed(self, state: str) -> None:
        metrics.breaker.labels(self.name).set(_STATES[state])
        metrics.breaker_changes.labels(self.name, state).inc()
        log.warning("a breaker changed", callee=self.name, state=state)
