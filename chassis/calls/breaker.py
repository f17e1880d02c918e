"""The circuit breaker: calls of a callee that fails are not sent for a while, so that it and the callers can breathe.

    closed ──half of 20 or more calls in 10 s failed, or 5 in a row──► open ──2 s, doubling to 10 s──► half-open
       ▲                                                                ▲                                  │
       └───────────────── 3 probes succeed ─────────────────────────────┼────────── one fails ─────────────┘

Michael Nygard, Release It!, chapter 5; the window is a ring of ten buckets of a second.
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
        self.state = CLOSED
        self._ring = [[0, 0, 0] for _ in range(BUCKETS)]  # (second, calls, failures)
        self._in_a_row = self._probing = self._passed = 0
        self._pause = FIRST_OPEN
        self._until = 0.0

    def allows(self) -> bool:
        """Whether a call may be sent now; each that may must be followed by one `record`."""
        with self._lock:
            if self.state == OPEN and clock.monotonic() >= self._until:
                self._become(HALF_OPEN)
                self._probing = self._passed = 0
            if self.state == HALF_OPEN:
                if self._probing >= PROBES:
                    return False
                self._probing += 1
            return self.state != OPEN

    def record(self, succeeded: bool) -> None:
        """How a call that was allowed ended."""
        with self._lock:
            if self.state == HALF_OPEN:
                self._probed(succeeded)
            elif self.state == CLOSED:
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
        if state != self.state:
            self.state = state
            self._changed(state)
