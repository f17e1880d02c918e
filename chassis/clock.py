"""Time, randomness and ids, all in one place so that a test can replace them."""

import base64
import os
import re
import time as _time
from datetime import UTC, datetime, timedelta
from random import SystemRandom, randbytes

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]((?:[01][0-9]|2[0-3]):[0-5][0-9]):([0-5][0-9]|60)(\.[0-9]+)?"
    r"(?:[Zz]|([+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))"
)
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

    def random_bytes(self, size: int) -> bytes:
        return randbytes(size)  # noqa: S311  not secret; the module seeds it again in a forked process


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


def new_secret() -> str:
    """Return 256 random bits, fit for secrets, as text that a URL can hold."""
    return base64.urlsafe_b64encode(entropy(32)).decode().rstrip("=")


def random_bytes(size: int) -> bytes:
    """Return `size` random bytes that may be guessed, as for trace ids: without a system call."""
    return _clock.random_bytes(size)


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment, by default now, in RFC 3339 with milliseconds in UTC; its text sorts by time."""
    return (moment or now()).isoformat(timespec="milliseconds")[:23] + "Z"


def timestamp_in(seconds: float) -> str:
    """Return the timestamp of `seconds` from now."""
    return timestamp(now() + timedelta(seconds=seconds))


def timestamp_ago(seconds: float) -> str:
    """Return the timestamp of `seconds` ago."""
    return timestamp(now() - timedelta(seconds=seconds))


def parse_timestamp(text: str) -> datetime:
    """Return the moment of an RFC 3339 timestamp, in UTC; digits after the microseconds are cut off.

    A leap second, `23:59:60` UTC at the end of a month, is the second after it.

    Raises:
        ValueError: the text is no RFC 3339 timestamp, or its moment is before the year 1 or after 9999.
    """
    parts = _RFC3339.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text[:40]!r} is not an RFC 3339 timestamp such as 2026-11-30T11:00:00Z")
    date, minute, second, fraction, offset = parts.groups()
    is_leap = second == "60"
    moment = datetime.fromisoformat(
        f"{date}T{minute}:{'59' if is_leap else second}{fraction or ''}{offset or '+00:00'}"
    )
    try:
        moment = moment.astimezone(UTC)
        if not is_leap:
            return moment
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is not between the years 1 and 9999") from None
    if (moment.day, moment.hour, moment.minute) != (1, 0, 0):
        raise ValueError(f"{text[:40]!r} has a leap second where none can be")
    return moment


def seconds_since(stamp: str) -> float:
    """Return the seconds since an RFC 3339 timestamp. Raises ValueError."""
    return (now() - parse_timestamp(stamp)).total_seconds()


def new_id() -> str:
    """Return a ULID (github.com/ulid/spec): 48 bits of milliseconds, 80 random bits; it sorts by time."""
    value = int(now().timestamp() * 1000) << 80 | int.from_bytes(entropy(10), "big")
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])
