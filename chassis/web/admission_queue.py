"""The line for a thread: the most urgent first, no longer than it is of use, and nobody in it for long."""

import threading
from collections import deque
from typing import Generic, TypeVar

from chassis import clock

PRIORITIES = 3
"""0 is the most urgent."""

Item = TypeVar("Item")


class AdmissionQueue(Generic[Item]):
    """At most `longest` items wait. What has to go is handed back, to be refused; nothing is dropped."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._waiting: tuple[deque[tuple[Item, float]], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item, priority: int, max_wait_s: float) -> Item | None:
        """Wait, for `max_wait_s` seconds at most. Of a full line the last of the least urgent goes, and is returned."""
        with self._changed:
            self._waiting[priority].append((item, clock.monotonic() + max_wait_s))
            if sum(map(len, self._waiting)) > self._longest:
                return next(items for items in reversed(self._waiting) if items).pop()[0]
            self._changed.notify()
        return None

    def get(self) -> tuple[Item, bool] | None:
        """Whose turn it is, as soon as there is anyone, and whether it is too late; None once the line is closed."""
        with self._changed:
            while True:
                for items in self._waiting:
                    if items:
                        item, until = items.popleft()
                        return item, clock.monotonic() > until
                if self._closed:
                    return None
                self._changed.wait()

    def overdue(self) -> list[Item]:
        """Take out who has waited too long already: under a load of the more urgent their turn may never come."""
        late: list[Item] = []
        if not any(self._waiting):
            return late
        now = clock.monotonic()
        with self._changed:
            for items in self._waiting:
                late += [item for item, until in items if until < now]
                for each in [each for each in items if each[1] < now]:
                    items.remove(each)
        return late

    def close(self) -> None:
        """Let those who wait be served, and then send the threads home."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
