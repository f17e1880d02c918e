"""The outbox: an event is stored by the very write that makes it true, and stays until the log has acknowledged it.

    {_id, ..., seq: 7, published: 5, pending: 2, slot: 3, outbox: [{seq: 6, ...}, {seq: 7, ...}]}

`seq` is the last sequence number given, `published` the last one acknowledged. Clearing is guarded by `published`,
so a relay that slept past its lease clears nothing that another one has counted already.
"""

import zlib
from collections.abc import Callable, Iterable
from collections.abc import Collection as Some
from dataclasses import dataclass
from typing import Protocol

from chassis.bus import Record
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.messages import Event
from chassis.store import Collection, Doc, Filter, Index, Update, UpdateOne

SLOTS = 16
MOST_PENDING = 1000
PENDING = Index("pending", "slot", partial={"pending": {"$gt": 0}})
"""The index that a collection with an outbox needs."""


def slot(aggregate: str) -> int:
    """Which share of the aggregates this one belongs to."""
    return zlib.crc32(aggregate.encode()) % SLOTS


def new_outbox(aggregate: str, *events: Event) -> Doc:
    """The fields of a new document that says these events first."""
    return {
        "seq": len(events),
        "published": 0,
        "pending": len(events),
        "slot": slot(aggregate),
        "outbox": [envelope.entry(event, number) for number, event in enumerate(events, 1)],
    }


def append_event(doc: Doc, event: Event) -> tuple[Update, Filter]:
    """The part of a change that adds this event to the document as it was read, and the guard that it still is so."""
    if doc["pending"] >= MOST_PENDING:
        raise TransientError("too many events of this object wait to be published", retry_after=5)
    waiting = envelope.entry(event, doc["seq"] + 1)
    return {"$push": {"outbox": waiting}, "$inc": {"seq": 1, "pending": 1}}, {"seq": doc["seq"]}


@dataclass(frozen=True)
class PendingEvents:
    """The events of one aggregate that wait, in order, as (sequence, record)."""

    id: str
    published: int
    events: list[tuple[int, Record]]


class Outbox(Protocol):
    """Where a relay finds what waits."""

    @property
    def collection(self) -> Collection: ...

    @property
    def idle_poll_s(self) -> float:
        """Seconds for which a relay leaves it alone once it found nothing in it."""

    def pending(self, slots: Some[int], limit: int) -> list[PendingEvents]: ...

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        """Forget the events of each, up to this sequence number."""


def pending_in_slots(slots: Some[int]) -> Filter:
    """What the documents of these slots are found by that have something to publish."""
    where: dict[str, object] = {"pending": {"$gt": 0}}
    if len(slots) < SLOTS:
        where["slot"] = {"$in": sorted(slots)}
    return where


def find_pending(collection: Collection, slots: Some[int], limit: int) -> list[Doc]:
    """The documents of these slots with something to publish."""
    return collection.find(pending_in_slots(slots), limit=limit)


class EmbeddedOutbox:
    """Events that wait inside the document of their aggregate."""

    idle_poll_s = 0.0

    def __init__(self, service: str, collection: Collection) -> None:
        self._service, self.collection = service, collection

    def pending(self, slots: Some[int], limit: int) -> list[PendingEvents]:
        return [
            PendingEvents(
                doc["_id"],
                doc["published"],
                [(item["seq"], envelope.record(self._service, doc["_id"], item)) for item in doc["outbox"]],
            )
            for doc in find_pending(self.collection, slots, limit)
        ]

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(
                each.id,
                {
                    "$pull": {"outbox": {"seq": {"$lte": upto}}},
                    "$inc": {"pending": each.published - upto},
                    "$set": {"published": upto},
                },
                when={"published": each.published},
            )
            for each, upto in acknowledged
        )


class LatestStateOutbox:
    """One event a document, made from the document when it is published: only the latest state is worth telling.

    The document keeps when it last changed, as `updatedAt`, and in which trace, as `traceparent`.
    """

    idle_poll_s = 0.0

    def __init__(self, service: str, collection: Collection, make: Callable[[Doc], Event]) -> None:
        self._service, self.collection, self._make = service, collection, make

    def pending(self, slots: Some[int], limit: int) -> list[PendingEvents]:
        found = []
        for doc in find_pending(self.collection, slots, limit):
            as_stored = {"time": doc["updatedAt"], "traceparent": doc.get("traceparent", "")}
            item = envelope.entry(self._make(doc), doc["seq"]) | as_stored
            record = envelope.record(self._service, doc["_id"], item)
            found.append(PendingEvents(doc["_id"], doc["published"], [(doc["seq"], record)]))
        return found

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(each.id, {"$set": {"pending": 0, "published": upto}}, when={"seq": upto})
            for each, upto in acknowledged
        )
