"""Dead letters: the events of a parked key, kept in the consumer's own store until an operator redrives them.

    {_id: "orders.events:o1:3", topic, partition, offset, key, value, headers, reason, handler, attempts, redrive}

A copy goes to `<consumer>.dead` by the relay, from the same document, some seconds later.
"""

import base64
from collections.abc import Collection as Some
from collections.abc import Iterable

from chassis import clock
from chassis.bus import Record
from chassis.events.envelope import Meta
from chassis.events.outbox import PENDING, PendingEvents, find_pending, slot
from chassis.store import Collection, Doc, Duplicate, Index, UpdateOne

collection = Collection(
    "dead_letters",
    PENDING,
    Index("key", "topic"),
    Index("blocks", partial={"blocks": True}),
    Index("redrive", partial={"redrive": True}),
)


def park(record: Record, meta: Meta | None, reason: str, handler: str, attempts: int, blocks: bool) -> None:
    """Keep the record with what is known about its failure. `blocks`: later events of its key must join it."""
    id = (
        f"{record.topic}:{meta.subject}:{meta.sequence}"
        if meta
        else f"{record.topic}:{record.partition}:{record.offset}"
    )
    letter = {
        "_id": id,
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
        "slot": slot(record.key),
    }
    try:
        collection.insert(letter)
    except Duplicate:
        pass  # a redelivery of what is parked already


def record_of(letter: Doc) -> Record:
    """The record as it was polled."""
    return Record(
        letter["topic"],
        letter["key"],
        base64.b64decode(letter["value"]),
        letter["headers"],
        letter["partition"],
        letter["offset"],
    )


def of_key(topic: str, key: str) -> list[Doc]:
    """Every dead letter of a key, in the order in which they must be handled."""
    return sorted(collection.iterate({"topic": topic, "key": key}), key=lambda letter: letter["offset"])


def ask_redrive(letter: Doc) -> None:
    """Ask the owner of the partition to handle the key of this letter again, from its first letter on."""
    collection.update(letter["_id"], {"$set": {"redrive": True}})


class DeadLetterForwarder:
    """The outbox of dead letters: a copy of each goes to the topic `<consumer>.dead`."""

    idle_poll_s = 2.0  # letters are rare, and a look that finds nothing costs as much

    def __init__(self, service: str) -> None:
        self.collection = collection
        self._topic = f"{service}.dead"

    def pending(self, slots: Some[int], limit: int) -> list[PendingEvents]:
        return [PendingEvents(doc["_id"], 0, [(1, self._copy(doc))]) for doc in find_pending(collection, slots, limit)]

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        collection.bulk_update(
            UpdateOne(each.id, {"$set": {"pending": 0, "published": upto}}) for each, upto in acknowledged
        )

    def _copy(self, doc: Doc) -> Record:
        why = {"x-reason": doc["reason"], "x-handler": doc["handler"], "x-topic": doc["topic"]}
        return Record(self._topic, doc["key"], base64.b64decode(doc["value"]), {**doc["headers"], **why})
