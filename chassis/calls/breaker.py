"""The circuit breaker: calls of a callee that fails are not sent for a while, so that it and the callers can breathe.

    closed ──half of 20 or more calls in 10 s failed, or 5 in a row──► open ──2 s, doubling to 10 s──► half-open
       ▲                                                                ▲                                  │
       └───────────────── 3 probes succeed ─────────────────────────────┼────────── one fails ─────────────┘

Michael Nygard, Release It!, chapter 5; the window is a ring of ten buckets of a second. Each change of state begins a
new era: how a call of an earlier one ended says nothing of the callee as it is now.
"""

import threading
from collections.abc import Callable

from chassis import clock

BUCKETS, BUCKET = 10, 1.0
FEWEST, RATE, IN_A_ROW = 20, 0.5, 5
FIRST_OPEN, LONGEST_OPEN, JITTER = 2.0, 10.0, 0.2
PROBES = 3

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"


class Breaker:
    """One for each callee; `changed(state)` is told of every change."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._lock = threading.Lock()
        self.state, self._era = CLOSED, 1
        self._ring = [[0, 0, 0] for _ in range(BUCKETS)]  # (second, calls, failures)
        self._in_a_row = self._probing = self._passed = 0
        self._pause = FIRST_OPEN
        self._until = 0.0

    def allows(self) -> int:
        """The era, where a call may be sent now: `record` must follow, once. Else 0."""
        with self._lock:
            if self.state == OPEN and clock.monotonic() >= self._until:
                self._become(HALF_OPEN)
                self._probing = self._passed = 0
            if self.state == HALF_OPEN:
                if self._probing >= PROBES:
                    return 0
                self._probing += 1
            return 0 if self.state == OPEN else self._era

    def record(self, era: int, succeeded: bool) -> None:
        """How a call that was allowed in this era ended."""
        with self._lock:
            if era != self._era:
                return
            if self.state == HALF_OPEN:
                self._probed(succeeded)
            else:
                self._count(succeeded)

    def _probed(self, succeeded: bool) -> None:
        if not succeeded:
            self._pause = min(self._pause * 2, LONGEST_OPEN)
            self._open()
            return
        self._passed += 1
        if self._passed == PROBES:
            self._ring = [[0, 0, 0] for _ in range(BUCKETS)]
            self._in_a_row, self._pause = 0, FIRST_OPEN
            self._become(CLOSED)

    def _count(self, succeeded: bool) -> None:
        now = int(clock.monotonic() / BUCKET)
        bucket = self._ring[now % BUCKETS]
        if bucket[0] != now:
            bucket[:] = [now, 0, 0]
        bucket[1] += 1
        bucket[2] += not succeeded
        self._in_a_row = 0 if succeeded else self._in_a_row + 1
        recent = [each for each in self._ring if each[0] > now - BUCKETS]
        calls, failures = sum(each[1] for each in recent), sum(each[2] for each in recent)
        if self._in_a_row >= IN_A_ROW or (calls >= FEWEST and failures >= RATE * calls):
            self._open()

    def _open(self) -> None:
        self._until = clock.monotonic() + self._pause * (1 - JITTER + 2 * JITTER * clock.random())
        self._become(OPEN)

    def _become(self, state: str) -> None:
        self.state = state
        self._era += 1
        self._changed(state)
