"""The outbox: one write stores a change together with its events; the relay publishes the events afterwards.

    {_id, ..., seq: 7, published: 5, pending: 2, slot: 3, outbox: [{seq: 6, ...}, {seq: 7, ...}]}

`seq` is the sequence number of the last event, `published` that of the last event which the message bus has
acknowledged. The update that clears events is a conditional write (`when=`): it requires an unchanged `published`, so a
relay whose lease expired cannot decrement `pending` twice.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from chassis.bus import Record
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.messages import Event
from chassis.store import Collection, Doc, Filter, Index, Update, UpdateOne

SLOTS = 16
"""Aggregates are hashed into this many slots; relays share the slots by leases."""
MAX_PENDING_EVENTS = 1000
"""Maximum number of pending events of one aggregate; at this limit it rejects writes."""
PENDING_INDEX = Index("pending", "slot", partial={"pending": {"$gt": 0}})
"""The index that a collection with an outbox needs."""


def slot_of(aggregate_id: str) -> int:
    """Return the slot of an aggregate."""
    return zlib.crc32(aggregate_id.encode()) % SLOTS


def new_outbox(aggregate_id: str, *events: Event) -> Doc:
    """Return the outbox fields of a new document, with its first events."""
    return {
        "seq": len(events),
        "published": 0,
        "pending": len(events),
        "slot": slot_of(aggregate_id),
        "outbox": [envelope.new_entry(event, sequence) for sequence, event in enumerate(events, 1)],
    }


def append_event(doc: Doc, *events: Event) -> tuple[Update, Filter]:
    """Return the update that appends events to `doc`, and the guard that no other was appended since `doc` was read.

    Raises:
        TransientError: the document has too many pending events.
    """
    if doc["pending"] >= MAX_PENDING_EVENTS:
        raise TransientError(f"{doc['_id']} has {doc['pending']} pending events; is the relay running?", retry_after=5)
    entries = [envelope.new_entry(event, sequence) for sequence, event in enumerate(events, doc["seq"] + 1)]
    count = {"$inc": {"seq": len(entries), "pending": len(entries)}}
    if len(entries) == 1:
        return {**count, "$push": {"outbox": entries[0]}}, {"seq": doc["seq"]}
    # a push appends one element; setting the whole list requires that the relay has not cleared any since
    unchanged = {"seq": doc["seq"], "published": doc["published"]}
    return {**count, "$set": {"outbox": [*doc["outbox"], *entries]}}, unchanged


@dataclass(frozen=True)
class PendingEvents:
    """The pending events of one aggregate."""

    id: str
    """The id of the document or stream."""
    published: int
    """The sequence number of the last acknowledged event; 0 if the outbox does not need it."""
    events: list[tuple[int, Record]]
    """(position, record), in order: the position is the sequence number, or the version in a stream."""
    since: str = ""
    """The timestamp since which the first of them has been pending."""
    failure: Exception | None = None
    """Why the events cannot be read; then `events` is empty."""

    @classmethod
    def build(cls, id: str, read: Callable[[], "PendingEvents"]) -> "PendingEvents":
        """Return what `read` returns for this aggregate, or its failure."""
        try:
            return read()
        except TransientError:
            raise
        except Exception as error:
            return cls(id, 0, [], failure=error)


class Outbox(Protocol):
    """A source of pending events for the relay."""

    @property
    def collection(self) -> Collection: ...

    @property
    def idle_poll_s(self) -> float:
        """Minimum seconds between polls of an empty outbox; 0: every poll of the relay."""

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        """Return the pending events of up to `limit` documents in these slots."""

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        """Remove the events of each aggregate up to and including this position."""

    def set_aside(self, id: str) -> None:
        """Leave the pending events of this aggregate out of `pending`, until `return_set_aside`."""


def pending_in_slots(slots: Sequence[int]) -> Filter:
    """Return the filter for documents in these slots that have pending events and are not set aside."""
    return {"pending": {"$gt": 0}, "slot": {"$in": sorted(slots)} if len(slots) < SLOTS else {"$gte": 0}}


SET_ASIDE: Filter = {"pending": {"$gt": 0}, "slot": {"$lt": 0}}
"""The filter for documents whose pending events are set aside: their slot is `-1 - slot`."""


def set_aside(collection: Collection, id: str) -> None:
    """Set the pending events of a document aside: no relay finds them, and the document keeps all its events."""
    doc = collection.get(id)
    if doc is not None and doc["slot"] >= 0:
        collection.update(id, {"$set": {"slot": -1 - doc["slot"]}}, when={"slot": doc["slot"]})


def return_set_aside(collection: Collection) -> int:
    """Return all documents of a collection that are set aside to the relay; return their number.

    Returns the commits of a stream in order, so that a relay that polls at the same time publishes them in order. A
    document that fails again during the call stays set aside.
    """
    returned: set[str] = set()
    while True:
        docs = list(collection.iterate(SET_ASIDE))
        if returned.issuperset(doc["_id"] for doc in docs):  # else a relay has just set a later commit aside
            return len(returned)
        for doc in docs:
            collection.update(doc["_id"], {"$set": {"slot": -1 - doc["slot"]}}, when={"slot": doc["slot"]})
            returned.add(doc["_id"])


def find_pending(collection: Collection, slots: Sequence[int], limit: int) -> list[Doc]:
    """Find up to `limit` documents in these slots that have pending events."""
    return collection.find(pending_in_slots(slots), limit=limit)


class DocumentOutbox(ABC):
    """An outbox in which each aggregate is one document."""

    idle_poll_s = 0.0

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        docs = find_pending(self.collection, slots, limit)
        return [PendingEvents.build(doc["_id"], partial(self._pending, doc)) for doc in docs]

    def set_aside(self, id: str) -> None:
        set_aside(self.collection, id)

    @abstractmethod
    def _pending(self, doc: Doc) -> PendingEvents:
        """Return the pending events of a document."""


class EmbeddedOutbox(DocumentOutbox):
    """An outbox inside each aggregate's document: all events, in order."""

    def __init__(self, service: str, collection: Collection) -> None:
        super().__init__(collection)
        self._service = service

    def _pending(self, doc: Doc) -> PendingEvents:
        entries, id = doc["outbox"], doc["_id"]
        records = [(entry["seq"], envelope.to_record(self._service, id, entry)) for entry in entries]
        return PendingEvents(id, doc["published"], records, entries[0]["time"])

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(
                each.id,
                {
                    "$pull": {"outbox": {"seq": {"$lte": last_position}}},
                    "$inc": {"pending": each.published - last_position},
                    "$set": {"published": last_position},
                },
                when={"published": each.published},
            )
            for each, last_position in acknowledged
        )


class LatestStateOutbox(DocumentOutbox):
    """An outbox without stored events: the relay publishes one event made from the document's latest state.

    `make` returns the event of a document. The document keeps the time of its last change as `updatedAt`, and the
    trace of that change as `traceparent`.
    """

    def __init__(self, service: str, collection: Collection, make: Callable[[Doc], Event]) -> None:
        super().__init__(collection)
        self._service, self._make = service, make

    def _pending(self, doc: Doc) -> PendingEvents:
        as_stored = {"time": doc["updatedAt"], "traceparent": doc.get("traceparent", "")}
        entry = envelope.new_entry(self._make(doc), doc["seq"]) | as_stored
        record = envelope.to_record(self._service, doc["_id"], entry)
        return PendingEvents(doc["_id"], doc["published"], [(doc["seq"], record)], doc["updatedAt"])

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(each.id, {"$set": {"pending": 0, "published": last_position}}, when={"seq": last_position})
            for each, last_position in acknowledged
        )
