"""What tests of services need: a clock that they own, and the log as they go."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson

from chassis.clock import Clock
from chassis.observe.log import log


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


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """The lines that are logged meanwhile, from debug on."""
    lines: list[dict[str, Any]] = []
    before = log.write, log.level
    log.write, log.level = (lambda line, _: lines.append(orjson.loads(line))), 0
    try:
        yield lines
    finally:
        log.write, log.level = before
