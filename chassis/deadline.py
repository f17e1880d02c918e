"""The deadline of the current work, on the monotonic clock: set at the edge, shortened at each hop."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chassis import clock
from chassis.errors import DeadlineExceeded

HEADER = "X-Deadline-Ms"
HOP_S = 0.01
"""Time that each hop keeps for returning the response."""

_ends: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Set a deadline `seconds` from now, unless an earlier one is set already."""
    ends = clock.monotonic() + seconds
    outer = _ends.get()
    token = _ends.set(ends if outer is None else min(ends, outer))
    try:
        yield
    finally:
        _ends.reset(token)


def is_set() -> bool:
    """Return whether the current work has a deadline: whether a caller waits for it."""
    return _ends.get() is not None


def remaining(default: float) -> float:
    """Return the seconds left, at most `default`. Raises DeadlineExceeded if none are left."""
    ends = _ends.get()
    left = default if ends is None else min(default, ends - clock.monotonic())
    if left <= 0:
        raise DeadlineExceeded("the deadline has passed")
    return left
