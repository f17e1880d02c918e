"""The backlog metrics of the outboxes: the number of pending events, and an estimate of the age of the oldest."""

from collections.abc import Callable, Iterable

from chassis import clock
from chassis.events.outbox import Outbox, pending_in_slots
from chassis.observe import metrics
from chassis.observe.throttled import Throttled

SAMPLE = 100
"""Maximum number of documents read to estimate the oldest age, in order of `_id`."""


def backlog(outboxes: list[Outbox], held_slots: Callable[[], Iterable[int]]) -> Throttled:
    """Return a function that exports the backlog of the held slots; the sum over all relays is the whole backlog."""

    def export() -> None:
        slots = sorted(held_slots())
        for outbox in outboxes:
            name = outbox.collection.name
            count = outbox.collection.sum("pending", pending_in_slots(slots)) if slots else 0
            sample = outbox.pending(slots, SAMPLE) if count else []
            times = [each.since for each in sample if each.failure is None]
            metrics.outbox_pending[name].set(count)
            metrics.outbox_oldest_age[name].set(max(0.0, *map(clock.seconds_since, times)) if times else 0)

    return Throttled(export)
