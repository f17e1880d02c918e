"""The queue of requests for a thread: most urgent first, bounded in length and in waiting time."""

import threading
from collections import deque
from typing import Generic, TypeVar

from chassis import clock

PRIORITIES = 4
"""0 is the most urgent."""

Item = TypeVar("Item")


class AdmissionQueue(Generic[Item]):
    """A queue of at most `max_items`. It drops nothing: what has to leave is returned to the caller, to be rejected."""

    def __init__(self, max_items: int) -> None:
        self._max_items = max_items
        self._waiting: tuple[deque[tuple[Item, float]], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Item, priority: int, max_wait_s: float) -> Item | None:
        """Add an item. If the queue is full, remove and return the newest item of the lowest priority."""
        with self._changed:
            self._waiting[priority].append((item, clock.monotonic() + max_wait_s))
            if sum(map(len, self._waiting)) > self._max_items:
                return next(items for items in reversed(self._waiting) if items).pop()[0]
            self._changed.notify()
        return None

    def get(self) -> tuple[Item, bool] | None:
        """Wait for the next item. Return it and whether it waited too long; None once the queue is closed and empty."""
        with self._changed:
            while True:
                for items in self._waiting:
                    if items:
                        item, until = items.popleft()
                        return item, clock.monotonic() > until
                if self._closed:
                    return None
                self._changed.wait()

    def remove_overdue(self) -> list[Item]:
        """Remove and return the items that waited too long: `get` may never reach them while others are more urgent."""
        late: list[Item] = []
        if not any(self._waiting):
            return late
        now = clock.monotonic()
        with self._changed:
            for items in self._waiting:
                late += [item for item, until in items if until < now]
                for entry in [entry for entry in items if entry[1] < now]:
                    items.remove(entry)
        return late

    def close(self) -> None:
        """Let the threads take what is left, and then end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
