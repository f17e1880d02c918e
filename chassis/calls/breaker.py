"""The circuit breaker: it stops the calls to a failing upstream for a while, so that both sides recover.

    closed ──half of 20 or more calls in 10 s failed, or 5 in a row──► open ──2 s, doubling to 10 s──► half-open
       ▲                                                                ▲                                  │
       └───────────────── 3 probes succeed ─────────────────────────────┼────────── one fails ─────────────┘

Michael Nygard, Release It!, chapter 5. Each change of state begins a new era; the breaker ignores the outcome of a call
from an earlier era, because it says nothing about the upstream as it is now.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from chassis import clock

_BUCKETS = 10
_JITTER = 0.2  # share of the open time

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"


@dataclass(frozen=True)
class BreakerPolicy:
    """Thresholds of the circuit breaker of one upstream."""

    window_s: float = 10.0
    """Sliding window over which calls are counted."""
    min_calls: int = 20
    """Calls in the window below which the failure rate does not open the circuit."""
    failure_rate: float = 0.5
    """Share of failed calls in the window that opens the circuit."""
    max_consecutive_failures: int = 5
    """Failures in a row that open the circuit."""
    open_s: float = 2.0
    """Time that the circuit stays open at first; it doubles with each failed probe."""
    max_open_s: float = 10.0
    """Longest time that the circuit stays open before it probes again."""
    probes: int = 3
    """Calls let through while half-open; all must succeed to close the circuit."""


DEFAULT_POLICY = BreakerPolicy()


class Breaker:
    """The circuit breaker of one upstream. It calls `on_change(state)` at every change of state."""

    def __init__(self, on_change: Callable[[str], None], policy: BreakerPolicy = DEFAULT_POLICY) -> None:
        self._on_change, self._policy = on_change, policy
        self._lock = threading.Lock()
        self.state, self._era = CLOSED, 1
        self._bucket_s = policy.window_s / _BUCKETS
        self._ring = _empty_ring()
        self._consecutive_failures = self._probes_sent = self._probes_passed = 0
        self._open_s = policy.open_s
        self._open_until = 0.0

    def acquire(self) -> int:
        """Return the current era if a call may be sent now, else 0. Each era returned needs one `record`."""
        with self._lock:
            if self.state == OPEN and clock.monotonic() >= self._open_until:
                self._change_to(HALF_OPEN)
                self._probes_sent = self._probes_passed = 0
            if self.state == HALF_OPEN:
                if self._probes_sent >= self._policy.probes:
                    return 0
                self._probes_sent += 1
            return 0 if self.state == OPEN else self._era

    def record(self, era: int, succeeded: bool) -> None:
        """Record the outcome of a call that `acquire` let through in this era."""
        with self._lock:
            if era != self._era:
                return
            if self.state == HALF_OPEN:
                self._record_probe(succeeded)
            else:
                self._count(succeeded)

    def _record_probe(self, succeeded: bool) -> None:
        if not succeeded:
            self._open_s = min(self._open_s * 2, self._policy.max_open_s)
            self._open()
            return
        self._probes_passed += 1
        if self._probes_passed == self._policy.probes:
            self._ring, self._consecutive_failures = _empty_ring(), 0
            self._open_s = self._policy.open_s
            self._change_to(CLOSED)

    def _count(self, succeeded: bool) -> None:
        now = int(clock.monotonic() / self._bucket_s)
        bucket = self._ring[now % _BUCKETS]
        if bucket[0] != now:
            bucket[:] = [now, 0, 0]
        bucket[1] += 1
        bucket[2] += not succeeded
        self._consecutive_failures = 0 if succeeded else self._consecutive_failures + 1
        recent = [each for each in self._ring if each[0] > now - _BUCKETS]
        calls, failures = sum(each[1] for each in recent), sum(each[2] for each in recent)
        policy = self._policy
        if self._consecutive_failures >= policy.max_consecutive_failures or (
            calls >= policy.min_calls and failures >= policy.failure_rate * calls
        ):
            self._open()

    def _open(self) -> None:
        self._open_until = clock.monotonic() + self._open_s * (1 - _JITTER + 2 * _JITTER * clock.random())
        self._change_to(OPEN)

    def _change_to(self, state: str) -> None:
        self.state = state
        self._era += 1
        self._on_change(state)


def _empty_ring() -> list[list[int]]:
    """Return a ring of buckets: (number of the bucket, calls, failures)."""
    return [[0, 0, 0] for _ in range(_BUCKETS)]
