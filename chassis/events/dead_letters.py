"""Dead letters: records that a consumer could not handle, and the later events of the keys that they block.

    {_id: "orders.events:o1:3", topic, partition, offset, key, value, headers, raw,
     reason, handler, attempts, blocks, redrive, parkedAt}

The consumer keeps them in its own store until an operator redrives or discards them. The relay publishes a copy of each
to the topic `<consumer>.dead`. `discarded_dead_letters` keeps a document without the data for each discarded one.
"""

import base64
import json
from collections.abc import Iterable

from chassis import clock
from chassis.bus import MAX_RECORD_BYTES, Record, size_bytes
from chassis.events.envelope import Meta
from chassis.events.outbox import PENDING_INDEX, DocumentOutbox, PendingEvents, slot_of
from chassis.observe.log import log
from chassis.store import Collection, Doc, Duplicate, Index, Update, UpdateOne

collection = Collection(
    "dead_letters",
    PENDING_INDEX,
    Index("key", "topic"),
    Index("blocks", partial={"blocks": True}),
    Index("redrive", partial={"redrive": True}),
)
discarded = Collection("discarded_dead_letters")

MAX_STORED_BYTES = 1_150_000
"""Size of the largest record that is stored with its value and headers; brokers accept less by default.

A store rejects documents of more than 16 MiB, and headers with text that it rejects take up to 14 times their size.
"""
_MAX_REASON = 1000  # characters
_MAX_KEY = 1000  # characters


def park(record: Record, meta: Meta | None, reason: str, handler: str, attempts: int, blocks: bool) -> None:
    """Store a record as a dead letter, whatever its content; do nothing if it is stored already.

    Arguments:
        meta: the attributes of the event; None if the record is malformed.
        reason: why the event was not handled.
        handler: the name of the handler that failed, or "".
        attempts: how often the event was attempted; 0 if only an earlier event of its key was.
        blocks: whether later events of this key are parked, too.
    """
    event_id = f"{meta.subject}:{meta.sequence}" if meta else f"{record.partition}:{record.offset}"
    if size_bytes(record) > MAX_STORED_BYTES:
        reason = f"{reason} (a record of {size_bytes(record)} bytes is not stored; it is in the topic)"
        record = record._replace(key=record.key[:_MAX_KEY], value=b"", headers={})
        event_id = f"{record.partition}:{record.offset}"
    key, headers = stored_text(record.key), {name: text for name, text in record.headers.items() if _is_name(name)}
    headers = {name: stored_text(text) for name, text in headers.items()}
    dead_letter = {
        "_id": stored_text(f"{record.topic}:{event_id}"),
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "key": key,
        "value": base64.b64encode(record.value).decode(),
        "headers": headers,
        "reason": stored_text(reason)[:_MAX_REASON],
        "handler": handler,
        "attempts": attempts,
        "blocks": blocks,
        "redrive": False,
        "parkedAt": clock.timestamp(),
        "published": 0,
        "pending": 1,
        "slot": slot_of(key),
    }
    if (key, headers) != (record.key, record.headers):
        dead_letter["raw"] = base64.b64encode(json.dumps([record.key, dict(record.headers)]).encode()).decode()
    if not _insert(dead_letter):
        return
    id, why, name = dead_letter["_id"], dead_letter["reason"], event_type(record)
    if attempts:
        log.error("event parked", deadLetterId=id, key=shown_key(record), eventType=name, reason=why)
    else:
        log.warning("event parked", deadLetterId=id, key=shown_key(record), eventType=name, reason=why)


def _insert(dead_letter: Doc) -> bool:
    """Insert a dead letter, unless the same record or event is stored already; return whether it is new."""
    try:
        collection.insert(dead_letter)
        return True
    except Duplicate:
        same = collection.get(dead_letter["_id"]) or {}
    if same.get("value") == dead_letter["value"] or same.get("offset") == dead_letter["offset"]:
        return False
    by_offset = f"{dead_letter['topic']}:{dead_letter['partition']}:{dead_letter['offset']}"
    return dead_letter["_id"] != by_offset and _insert({**dead_letter, "_id": by_offset})


def shown_key(record: Record) -> str:
    """Return the key of a record for a log line, of bounded length."""
    return record.key[:_MAX_KEY]


def event_type(record: Record) -> str:
    """Return the event type that a record names, "" for none."""
    return record.headers.get("ce_type", "")


def to_record(dead_letter: Doc) -> Record:
    """Return the record as the consumer polled it."""
    key, headers = dead_letter["key"], dead_letter["headers"]
    if "raw" in dead_letter:
        key, headers = json.loads(base64.b64decode(dead_letter["raw"]))
    return Record(
        dead_letter["topic"],
        key,
        base64.b64decode(dead_letter["value"]),
        headers,
        dead_letter["partition"],
        dead_letter["offset"],
    )


def of_key(topic: str, key: str) -> list[Doc]:
    """Return the dead letters of a key, in the order in which they must be handled."""
    found = collection.iterate({"topic": topic, "key": stored_text(key)})
    return sorted(found, key=lambda dead_letter: dead_letter["offset"])


def parked_keys() -> set[tuple[str, str]]:
    """Return (topic, key as `stored_text`) of all keys whose later events are parked."""
    return {(doc["topic"], doc["key"]) for doc in collection.iterate({"blocks": True})}


def request_redrive(dead_letter: Doc) -> None:
    """Request that the owner of the partition handles all dead letters of this key again, oldest first."""
    collection.update(dead_letter["_id"], {"$set": {"redrive": True}})


def note_failed_redrive(dead_letter: Doc, reason: str, attempts: int) -> None:
    """Store why a redrive failed, add its attempts, and end the request."""
    reason = stored_text(reason)[:_MAX_REASON]
    update: Update = {"$set": {"redrive": False, "reason": reason}, "$inc": {"attempts": attempts}}
    collection.update(dead_letter["_id"], update)
    id, key, name = dead_letter["_id"], dead_letter["key"][:_MAX_KEY], event_type(to_record(dead_letter))
    log.error("redrive failed; the dead letter stays", deadLetterId=id, key=key, eventType=name, reason=reason)


def discard(dead_letter: Doc, reason: str) -> None:
    """Delete a dead letter, so that its event takes no effect; store the reason, without the data of the event.

    Deletes the text of the error, too: it may contain personal data, which erasure would not find.
    """
    kept = {name: dead_letter[name] for name in ("_id", "topic", "partition", "offset", "key", "handler", "attempts")}
    entry = {
        **kept,
        "type": stored_text(event_type(to_record(dead_letter))),
        "parkedAt": dead_letter["parkedAt"],
        "reason": stored_text(reason)[:_MAX_REASON],
        "discardedAt": clock.timestamp(),
    }
    try:
        discarded.insert(entry)
    except Duplicate:  # the same event was parked and discarded before
        discarded.update(entry.pop("_id"), {"$set": entry})
    collection.delete(dead_letter["_id"])


def delete_of_key(topic: str, key: str) -> None:
    """Delete all dead letters of a key, because its subject is erased."""
    for dead_letter in of_key(topic, key):
        collection.delete(dead_letter["_id"])


def stored_text(text: str) -> str:
    """Return the text with replacements for what a store rejects: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _is_name(name: str) -> bool:
    """Whether a header's name can be the name of a field."""
    return bool(name) and not name.startswith("$") and "." not in name and stored_text(name) == name


class DeadLetterForwarder(DocumentOutbox):
    """The outbox of dead letters: the relay publishes a copy of each to the topic `<consumer>.dead`.

    The copy of a record that is too large for the bus has neither its value nor its headers.
    """

    idle_poll_s = 2.0  # dead letters are rare

    def __init__(self, service: str) -> None:
        super().__init__(collection)
        self._topic = f"{service}.dead"

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        acknowledged = list(acknowledged)
        collection.bulk_update(
            UpdateOne(each.id, {"$set": {"pending": 0, "published": last_position}})
            for each, last_position in acknowledged
        )
        for each, _ in acknowledged:
            if "x-cut" in each.events[0][1].headers:
                log.warning("dead letter too large; copied without its value and headers", deadLetterId=each.id)

    def _pending(self, doc: Doc) -> PendingEvents:
        return PendingEvents(doc["_id"], 0, [(1, self._copy(doc))], doc["parkedAt"])

    def _copy(self, doc: Doc) -> Record:
        record = to_record(doc)
        context = {"x-reason": doc["reason"][:_MAX_REASON], "x-handler": doc["handler"], "x-topic": doc["topic"]}
        copy = record._replace(topic=self._topic, headers={**record.headers, **context})
        if (size := size_bytes(copy)) > MAX_RECORD_BYTES:
            copy = Record(self._topic, doc["key"][:_MAX_KEY], b"", {**context, "x-cut": f"{size} bytes"})
        return copy
