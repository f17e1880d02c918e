"""Helpers for tests of services: a fake clock, and captured log lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson

from chassis.clock import Clock
from chassis.observe.log import log


class FakeClock(Clock):
    """A clock that moves only by `sleep` and `pass_time`; its randomness depends on the seed alone."""

    def __init__(self, start: datetime = datetime(2030, 1, 1, tzinfo=UTC), seed: int = 0) -> None:
        self._now, self._monotonic, self._random = start, 0.0, Random(seed)  # noqa: S311  reproducible, not secret

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

    def random_bytes(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def pass_time(self, seconds: float) -> None:
        """Advance the wall clock and the monotonic clock."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as NTP does; the monotonic clock does not change."""
        self._now -= timedelta(seconds=seconds)


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Capture the log lines of all levels that are logged inside `with`."""
    lines: list[dict[str, Any]] = []
    before = log.write, log.level
    log.write, log.level = (lambda line, _: lines.append(orjson.loads(line))), 0
    try:
        yield lines
    finally:
        log.write, log.level = before
