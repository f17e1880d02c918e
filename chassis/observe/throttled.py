"""Looks into the store for what only an operator wants to know: seldom, and never at the cost of the work."""

from collections.abc import Callable

from chassis import clock
from chassis.errors import TransientError

EVERY = 5.0
SHARE = 0.05


class Throttled:
    """Calls `look` at most every 5 s, and for a twentieth of the time; where it meets TransientError, the old figures stay."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look, self._due = look, float("-inf")

    def __call__(self) -> None:
        began = clock.monotonic()
        if began < self._due:
            return
        try:
            self._look()
        except TransientError:
            pass  # who does the work says so
        ended = clock.monotonic()
        self._due = ended + max(EVERY, (ended - began) / SHARE)
