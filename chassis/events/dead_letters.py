"""Dead letters: records that a consumer could not handle; if one blocks its key, the later events of that key, too.

    {_id: "orders.events:o1:3", topic, partition, offset, key, value, headers,
     reason, handler, attempts, blocks, redrive, parkedAt}

The consumer keeps them in its own store until an operator redrives them. The relay publishes a copy of each to the
topic `<consumer>.dead`.
"""

import base64
from collections.abc import Iterable, Sequence

from chassis import clock
from chassis.bus import Record
from chassis.events.envelope import Meta
from chassis.events.outbox import PENDING_INDEX, PendingEvents, find_pending, slot_of
from chassis.store import Collection, Doc, Duplicate, Index, UpdateOne

collection = Collection(
    "dead_letters",
    PENDING_INDEX,
    Index("key", "topic"),
    Index("blocks", partial={"blocks": True}),
    Index("redrive", partial={"redrive": True}),
)


def park(record: Record, meta: Meta | None, reason: str, handler: str, attempts: int, blocks: bool) -> None:
    """Store a record as a dead letter; nothing happens if it is one already.

    Arguments:
        meta: the attributes of the event; None if the record is malformed.
        reason: why the event was not handled.
        handler: the name of the handler that failed, or "".
        blocks: whether later events of this key are parked, too.
    """
    event_id = f"{meta.subject}:{meta.sequence}" if meta else f"{record.partition}:{record.offset}"
    dead_letter = {
        "_id": f"{record.topic}:{event_id}",
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "value": base64.b64encode(record.value).decode(),
        "headers": dict(record.headers),
        "reason": reason,
        "handler": handler,
        "attempts": attempts,
        "blocks": blocks,
        "redrive": False,
        "parkedAt": clock.timestamp(),
        "published": 0,
        "pending": 1,
        "slot": slot_of(record.key),
    }
    try:
        collection.insert(dead_letter)
    except Duplicate:
        pass  # the record was delivered again


def to_record(dead_letter: Doc) -> Record:
    """Return the record as the consumer polled it."""
    return Record(
        dead_letter["topic"],
        dead_letter["key"],
        base64.b64decode(dead_letter["value"]),
        dead_letter["headers"],
        dead_letter["partition"],
        dead_letter["offset"],
    )


def of_key(topic: str, key: str) -> list[Doc]:
    """Return the dead letters of a key, in the order in which they must be handled."""
    return sorted(collection.iterate({"topic": topic, "key": key}), key=lambda dead_letter: dead_letter["offset"])


def request_redrive(dead_letter: Doc) -> None:
    """Request that the owner of the partition handles all dead letters of this key again, oldest first."""
    collection.update(dead_letter["_id"], {"$set": {"redrive": True}})


class DeadLetterForwarder:
    """The outbox of dead letters: the relay publishes a copy of each to the topic `<consumer>.dead`."""

    idle_poll_s = 2.0  # dead letters are rare

    def __init__(self, service: str) -> None:
        self.collection = collection
        self._topic = f"{service}.dead"

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        return [PendingEvents(doc["_id"], 0, [(1, self._copy(doc))]) for doc in find_pending(collection, slots, limit)]

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        collection.bulk_update(
            UpdateOne(each.id, {"$set": {"pending": 0, "published": last_position}})
            for each, last_position in acknowledged
        )

    def _copy(self, doc: Doc) -> Record:
        context = {"x-reason": doc["reason"], "x-handler": doc["handler"], "x-topic": doc["topic"]}
        return Record(self._topic, doc["key"], base64.b64decode(doc["value"]), {**doc["headers"], **context})
