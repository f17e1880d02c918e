"""The envelope of an event on the message bus: CloudEvents 1.0 in binary mode, keyed by the aggregate's id."""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from chassis import clock
from chassis.bus import Record
from chassis.messages import Event
from chassis.observe import trace
from chassis.settings import settings
from chassis.store import Doc

_SEQUENCE = re.compile("[1-9][0-9]{0,17}")  # `int` accepts more: "-1", " 1", "1_0"


class MalformedRecord(ValueError):
    """A record that is not a CloudEvent of this platform."""


@dataclass(frozen=True)
class Meta:
    """The CloudEvents context attributes of an event.

    `sequence` increases with each event of one aggregate; it has gaps if only the latest state is published. `time` is
    in UTC with milliseconds, whichever form of RFC 3339 the publisher used.
    """

    id: str
    source: str
    type: str
    time: str
    subject: str
    sequence: int
    traceparent: str = ""


def new_entry(event: Event, sequence: int) -> Doc:
    """Return the outbox entry that stores an event until it is published."""
    return {
        "seq": sequence,
        "type": event.type,
        "time": clock.timestamp(),
        "data": event.data(),
        "traceparent": trace.traceparent(),
    }


def to_record(service: str, aggregate_id: str, entry: Doc) -> Record:
    """Return the record of an outbox entry."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{aggregate_id}:{entry['seq']}",
        "ce_source": service,
        "ce_type": entry["type"],
        "ce_time": entry["time"],
        "ce_subject": aggregate_id,
        "ce_sequence": str(entry["seq"]),
        "content-type": "application/json",
    }
    if entry["traceparent"]:
        headers["traceparent"] = entry["traceparent"]
    return Record(f"{service}.events", aggregate_id, orjson.dumps(entry["data"]), headers)


def from_record(record: Record) -> tuple[Meta, Any]:
    """Return the attributes and the camelCase data of a record. Raises MalformedRecord."""
    headers = record.headers
    try:
        meta = Meta(
            id=headers["ce_id"],
            source=headers["ce_source"],
            type=headers["ce_type"],
            time=clock.timestamp(clock.parse_timestamp(headers["ce_time"])),
            subject=headers["ce_subject"],
            sequence=_read_sequence(headers["ce_sequence"]),
            traceparent=headers.get("traceparent", ""),
        )
        return meta, orjson.loads(record.value)
    except KeyError as error:
        raise MalformedRecord(f"missing header {error}") from None
    except ValueError as error:
        raise MalformedRecord(f"not readable: {error}") from None


def _read_sequence(text: str) -> int:
    """Return the sequence number. Raises ValueError: with a wrong one, an inbox would skip the event."""
    if not _SEQUENCE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not the sequence number of an event")
    return int(text)


def span_attributes(operation: str, topic: str) -> dict[str, str | int]:
    """Return OpenTelemetry's messaging attributes; without the record's key and id, which may be those of a user."""
    return {
        "messaging.system": "kafka" if settings().kafka_bootstrap_servers else "sqlite",
        "messaging.destination.name": topic,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
    }
