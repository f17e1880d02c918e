"""What tests of services need: a clock that they own."""

from datetime import UTC, datetime, timedelta
from random import Random

from chassis.clock import Clock


class FakeClock(Clock):
    """Time that passes only by `sleep` or `pass_time`, and randomness that is the same each time for one seed."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC), seed: int = 0) -> None:
        self._now, self._monotonic, self._random = start, 0.0, Random(seed)  # noqa: S311  a test wants it guessable

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)

    def random(self) -> float:
        return self._random.random()

    def entropy(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def pass_time(self, seconds: float) -> None:
        """Let time go by."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """Turn the wall clock back, as an operator or NTP does; the monotonic one knows nothing of it."""
        self._now -= timedelta(seconds=seconds)
