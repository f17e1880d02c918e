"""The outbox: one write stores a change together with its events; the relay publishes the events afterwards.

    {_id, ..., seq: 7, published: 5, pending: 2, slot: 3, outbox: [{seq: 6, ...}, {seq: 7, ...}]}

`seq` is the sequence number of the last event, `published` that of the last event which the message bus has
acknowledged. Clearing is guarded by `published`: a relay that wakes up after its lease clears nothing that another
relay has counted already.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.bus import Record
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.messages import Event
from chassis.store import Collection, Doc, Filter, Index, Update, UpdateOne

SLOTS = 16
"""Aggregates are hashed into this many slots; relays share the slots by leases."""
MAX_PENDING_EVENTS = 1000
"""Pending events of one aggregate from which on it rejects writes."""
PENDING = Index("pending", "slot", partial={"pending": {"$gt": 0}})
"""The index that a collection with an outbox needs."""


def slot_of(aggregate: str) -> int:
    """Return the slot of an aggregate."""
    return zlib.crc32(aggregate.encode()) % SLOTS


def new_outbox(aggregate: str, *events: Event) -> Doc:
    """Return the outbox fields of a new document, with its first events."""
    return {
        "seq": len(events),
        "published": 0,
        "pending": len(events),
        "slot": slot_of(aggregate),
        "outbox": [envelope.new_entry(event, sequence) for sequence, event in enumerate(events, 1)],
    }


def append_event(doc: Doc, event: Event) -> tuple[Update, Filter]:
    """Return the update that appends an event to `doc`, and the guard that no other was appended since `doc` was read.

    Raises:
        TransientError: the document has too many pending events.
    """
    if doc["pending"] >= MAX_PENDING_EVENTS:
        raise TransientError(f"{doc['_id']} has {doc['pending']} pending events; is the relay running?", retry_after=5)
    entry = envelope.new_entry(event, doc["seq"] + 1)
    return {"$push": {"outbox": entry}, "$inc": {"seq": 1, "pending": 1}}, {"seq": doc["seq"]}


@dataclass(frozen=True)
class PendingEvents:
    """The pending events of one aggregate, in order, as (sequence, record)."""

    id: str
    published: int
    events: list[tuple[int, Record]]


class Outbox(Protocol):
    """A source of pending events for the relay."""

    @property
    def collection(self) -> Collection: ...

    @property
    def idle_poll_s(self) -> float:
        """Seconds until the relay polls this outbox again after it found nothing."""

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        """Return the pending events of up to `limit` documents in these slots."""

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        """Remove the events of each aggregate up to and including this sequence number."""


def pending_in_slots(slots: Sequence[int]) -> Filter:
    """Return the filter for documents in these slots that have pending events."""
    where: dict[str, object] = {"pending": {"$gt": 0}}
    if len(slots) < SLOTS:
        where["slot"] = {"$in": sorted(slots)}
    return where


def find_pending(collection: Collection, slots: Sequence[int], limit: int) -> list[Doc]:
    """Find up to `limit` documents in these slots that have pending events."""
    return collection.find(pending_in_slots(slots), limit=limit)


class EmbeddedOutbox:
    """An outbox inside each aggregate's document: all events, in order."""

    idle_poll_s = 0.0

    def __init__(self, service: str, collection: Collection) -> None:
        self._service, self.collection = service, collection

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        return [
            PendingEvents(
                doc["_id"],
                doc["published"],
                [(entry["seq"], envelope.to_record(self._service, doc["_id"], entry)) for entry in doc["outbox"]],
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
    """An outbox without stored events: the relay publishes one event made from the document's latest state.

    `make` returns the event of a document. The document keeps the time of its last change as `updatedAt`, and the
    trace of that change as `traceparent`.
    """

    idle_poll_s = 0.0

    def __init__(self, service: str, collection: Collection, make: Callable[[Doc], Event]) -> None:
        self._service, self.collection, self._make = service, collection, make

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        found = []
        for doc in find_pending(self.collection, slots, limit):
            as_stored = {"time": doc["updatedAt"], "traceparent": doc.get("traceparent", "")}
            entry = envelope.new_entry(self._make(doc), doc["seq"]) | as_stored
            record = envelope.to_record(self._service, doc["_id"], entry)
            found.append(PendingEvents(doc["_id"], doc["published"], [(doc["seq"], record)]))
        return found

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(each.id, {"$set": {"pending": 0, "published": upto}}, when={"seq": upto})
            for each, upto in acknowledged
        )
