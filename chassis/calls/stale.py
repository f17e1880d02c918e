"""Stale responses: what a read returned last, for the time in which its service does not answer."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

from chassis import clock
from chassis.errors import TransientError
from chassis.observe import metrics

T = TypeVar("T")

MAX_RESPONSES = 1000


class StaleResponses:
    """The last response of each read, of at most `MAX_RESPONSES` reads: the one unused for longest is dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def fall_back(self, service: str, read: Hashable, call: Callable[[], T], stale_s: float) -> T:
        """Return what `call` returns; if it raises TransientError, a response at most `stale_s` seconds old."""
        if not stale_s:
            return call()
        key = service, read
        try:
            response = call()
        except TransientError:
            received_at, stale = self._responses.get(key, (float("-inf"), None))
            if clock.monotonic() - received_at > stale_s:
                raise
            metrics.fallbacks[service].inc()
            return stale  # type: ignore[return-value]  # of the same read
        with self._lock:
            self._responses[key] = clock.monotonic(), response
            self._responses.move_to_end(key)
            if len(self._responses) > MAX_RESPONSES:
                self._responses.popitem(last=False)
        return response
