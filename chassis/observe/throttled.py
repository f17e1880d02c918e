"""Throttled reads of the store for gauges, so that measuring never slows down the work."""

from collections.abc import Callable

from chassis import clock
from chassis.errors import TransientError
from chassis.observe.guarded import guarded

MIN_INTERVAL_S = 5.0
MAX_SHARE = 0.05
"""Share of the time that the reads may take."""


class Throttled:
    """Calls `measure` at most every 5 s and for at most a twentieth of the time.

    After an error the old values stay, and the work continues.
    """

    def __init__(self, measure: Callable[[], None]) -> None:
        self._measure, self._due = measure, float("-inf")

    def __call__(self) -> None:
        started_at = clock.monotonic()
        if started_at < self._due:
            return
        try:
            with guarded():
                self._measure()
        except TransientError:
            pass  # the work itself logs it
        ended_at = clock.monotonic()
        self._due = ended_at + max(MIN_INTERVAL_S, (ended_at - started_at) / MAX_SHARE)
