"""The outboxes of one service, and what its relay and its jobs have set aside, as an operator sees them."""

from collections import Counter
from collections.abc import Iterator, Sequence

from chassis.events import set_aside
from chassis.events.outbox import SET_ASIDE, SLOTS, Outbox, pending_in_slots, return_set_aside
from chassis.operations import Row

_OF_ENTRY = "source", "id", "attempts", "at", "reason"


class Outboxes:
    """The outboxes of the service with this name."""

    def __init__(self, service: str, outboxes: Sequence[Outbox]) -> None:
        self._service, self._outboxes = service, outboxes

    def counts(self) -> Iterator[Row]:
        """Yield each outbox, and each job that has set aside something, with its counts."""
        aside = Counter(entry["source"] for entry in set_aside.entries.iterate())
        for collection in (each.collection for each in self._outboxes):
            pending = collection.sum("pending", pending_in_slots(range(SLOTS)))
            count = aside.pop(collection.name, 0) or collection.count(SET_ASIDE)
            yield {"service": self._service, "collection": collection.name, "pending": pending, "setAside": count}
        for job, count in sorted(aside.items()):
            yield {"service": self._service, "collection": job, "pending": 0, "setAside": count}

    def set_aside(self) -> Iterator[Row]:
        """Yield what is set aside, and why."""
        for entry in set_aside.entries.iterate():
            yield {"service": self._service, **{name: entry[name] for name in _OF_ENTRY}}

    def retry_set_aside(self) -> int:
        """Have the workers try again what is set aside; return how many entries that are."""
        entries = list(set_aside.entries.iterate())
        for each in self._outboxes:
            return_set_aside(each.collection)
        for entry in entries:
            set_aside.entries.delete(entry["_id"], when={"at": entry["at"]})  # one that has failed again stays
        return len(entries)
