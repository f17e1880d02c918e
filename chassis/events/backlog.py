"""What waits in the outboxes, for operators: how many events, and how old the oldest is."""

from collections.abc import Callable
from collections.abc import Collection as Some

from chassis import clock
from chassis.events.outbox import Outbox, pending_in_slots
from chassis.observe import metrics
from chassis.observe.throttled import Throttled

SAMPLE = 100
"""Aggregates whose events are looked at for the oldest: those with the least ids, which are the first made."""


def backlog(outboxes: list[Outbox], held: Callable[[], Some[int]]) -> Throttled:
    """Tells what waits in the slots that are held: so the sum over all relays is right."""

    def look() -> None:
        slots = held()
        for outbox in outboxes:
            name = outbox.collection.name
            count = outbox.collection.count(pending_in_slots(slots), of="pending") if slots else 0
            waiting = outbox.pending(slots, SAMPLE) if count else []
            times = [record.headers["ce_time"] for each in waiting for _, record in each.events[:1]]
            metrics.outbox_pending[name].set(count)
            metrics.outbox_oldest_age[name].set(max(0.0, clock.seconds_since(min(times))) if times else 0)

    return Throttled(look)
