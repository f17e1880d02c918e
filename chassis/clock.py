"""Time, randomness and ids, all in one place so that a test can replace them."""

import os
import time as _time
from datetime import UTC, datetime, timedelta
from random import SystemRandom

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class Clock:
    """Time and randomness of the machine; tests use `chassis.testing.FakeClock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return _time.monotonic()

    def sleep(self, seconds: float) -> None:
        _time.sleep(seconds)

    def random(self) -> float:
        return _random.random()

    def entropy(self, size: int) -> bytes:
        return os.urandom(size)


_random = SystemRandom()
_clock = Clock()


def use(clock: Clock) -> None:
    """Replace the clock of this process."""
    global _clock
    _clock = clock


def now() -> datetime:
    """Return the time in UTC."""
    return _clock.now()


def monotonic() -> float:
    """Return seconds of a clock that is never set back; deadlines and durations use it."""
    return _clock.monotonic()


def sleep(seconds: float) -> None:
    """Wait for `seconds`."""
    _clock.sleep(seconds)


def random() -> float:
    """Return a number in [0, 1)."""
    return _clock.random()


def entropy(size: int) -> bytes:
    """Return `size` random bytes, fit for secrets."""
    return _clock.entropy(size)


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment, by default now, in RFC 3339 with milliseconds in UTC; its text sorts by time."""
    return (moment or now()).isoformat(timespec="milliseconds")[:23] + "Z"


def timestamp_in(seconds: float) -> str:
    """Return the timestamp of `seconds` from now."""
    return timestamp(now() + timedelta(seconds=seconds))


def timestamp_ago(seconds: float) -> str:
    """Return the timestamp of `seconds` ago."""
    return timestamp(now() - timedelta(seconds=seconds))


def seconds_since(stamp: str) -> float:
    """Return the seconds since an RFC 3339 timestamp."""
    return (now() - datetime.fromisoformat(stamp)).total_seconds()


def new_id() -> str:
    """Return a ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 random bits; it sorts by time."""
    value = int(now().timestamp() * 1000) << 80 | int.from_bytes(entropy(10), "big")
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
