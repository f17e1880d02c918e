"""The deadline of the work under way, on the monotonic clock: set once at the edge, shortened by each hop."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from chassis import clock
from chassis.errors import DeadlineExceeded

HEADER = "X-Deadline-Ms"
HOP = 0.01
"""What each hop keeps for its own way back, in seconds."""

_ends: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Work that must end in so many seconds, or sooner if it is part of work that must."""
    ends = clock.monotonic() + seconds
    outer = _ends.get()
    token = _ends.set(ends if outer is None else min(ends, outer))
    try:
        yield
    finally:
        _ends.reset(token)


def is_set() -> bool:
    """Whether the work under way has a deadline: whether somebody waits for it."""
    return _ends.get() is not None


def remaining(default: float) -> float:
    """Seconds left, never more than `default`. Raises DeadlineExceeded when nothing is left."""
    ends = _ends.get()
    left = default if ends is None else min(default, ends - clock.monotonic())
    if left <= 0:
        raise DeadlineExceeded("the deadline has passed")
    return left
