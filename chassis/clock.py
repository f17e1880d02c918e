"""Time, randomness and ids: everything that a test wants to own comes in through here."""

import os
import time as _time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from random import SystemRandom

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class Clock:
    """The machine's own time and randomness; `chassis.testing.FakeClock` stands in for it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return _time.monotonic()

    def sleep(self, seconds: float) -> None:
        _time.sleep(seconds)

    def random(self) -> float:
        return _random.random()

    def entropy(self, size: int) -> bytes:
        return _drawn.take(size)


class _Drawn:
    """Randomness of the system, drawn in advance: to ask for it lets go of the interpreter, in each request.

    A read is atomic, so no two threads get the same bytes; nor do two processes, for a fork begins anew.
    """

    def __init__(self) -> None:
        self._left = BytesIO()
        os.register_at_fork(after_in_child=self._forget)

    def take(self, size: int) -> bytes:
        taken = self._left.read(size)
        if len(taken) < size:
            left = BytesIO(os.urandom(size + _AHEAD))
            taken, self._left = left.read(size), left
        return taken

    def _forget(self) -> None:
        self._left = BytesIO()


_AHEAD = 4096  # bytes
_drawn = _Drawn()
_random = SystemRandom()
_clock = Clock()


def use(clock: Clock) -> None:
    """Replace the clock of this process."""
    global _clock
    _clock = clock


def now() -> datetime:
    """The time in UTC."""
    return _clock.now()


def monotonic() -> float:
    """Seconds that only ever grow; deadlines are measured with it."""
    return _clock.monotonic()


def sleep(seconds: float) -> None:
    _clock.sleep(seconds)


def random() -> float:
    """A number in [0, 1)."""
    return _clock.random()


def entropy(size: int) -> bytes:
    """`size` bytes that nobody can guess."""
    return _clock.entropy(size)


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with milliseconds: compares as text in the order of time."""
    return (moment or now()).isoformat(timespec="milliseconds")[:23] + "Z"


def timestamp_in(seconds: float) -> str:
    """The timestamp `seconds` from now."""
    return timestamp(now() + timedelta(seconds=seconds))


def timestamp_ago(seconds: float) -> str:
    """The timestamp `seconds` before now."""
    return timestamp(now() - timedelta(seconds=seconds))


def seconds_since(stamp: str) -> float:
    """Seconds from an RFC 3339 timestamp until now."""
    return (now() - datetime.fromisoformat(stamp)).total_seconds()


def new_id() -> str:
    """A ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 of randomness, sorts by time."""
    value = int(now().timestamp() * 1000) << 80 | int.from_bytes(entropy(10), "big")
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
