"""How an event looks on the log: CloudEvents 1.0 in binary mode, keyed by its aggregate."""

from dataclasses import dataclass
from typing import Any

import orjson

from chassis import clock
from chassis.bus import Record
from chassis.messages import Event
from chassis.observe import trace
from chassis.settings import settings
from chassis.store import Doc


class MalformedRecord(ValueError):
    """A record that is no CloudEvent of ours."""


@dataclass(frozen=True)
class Meta:
    """What travels beside an event's data. `sequence` counts the events of one aggregate of `source` from 1."""

    id: str
    source: str
    type: str
    time: str
    subject: str
    sequence: int
    traceparent: str = ""


def entry(event: Event, sequence: int) -> Doc:
    """An event as it waits in its aggregate's document."""
    return {
        "seq": sequence,
        "type": event.type,
        "time": clock.timestamp(),
        "data": event.data(),
        "traceparent": trace.traceparent(),
    }


def record(service: str, aggregate: str, waiting: Doc) -> Record:
    """The record of an event that waited."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{aggregate}:{waiting['seq']}",
        "ce_source": service,
        "ce_type": waiting["type"],
        "ce_time": waiting["time"],
        "ce_subject": aggregate,
        "ce_sequence": str(waiting["seq"]),
        "content-type": "application/json",
    }
    if waiting["traceparent"]:
        headers["traceparent"] = waiting["traceparent"]
    return Record(f"{service}.events", aggregate, orjson.dumps(waiting["data"]), headers)


def described(operation: str, topic: str) -> dict[str, str | int]:
    """What is done with a record, in OpenTelemetry's names; neither its key nor its id, for these may be a user's."""
    system = "kafka" if settings().kafka_bootstrap_servers else "sqlite"
    doing = {"messaging.operation.name": operation, "messaging.operation.type": operation}
    return {"messaging.system": system, "messaging.destination.name": topic, **doing}


def read(record: Record) -> tuple[Meta, Any]:
    """The meta data and the camelCase data of a record. Raises MalformedRecord."""
    headers = record.headers
    try:
        meta = Meta(
            id=headers["ce_id"],
            source=headers["ce_source"],
            type=headers["ce_type"],
            time=headers["ce_time"],
            subject=headers["ce_subject"],
            sequence=int(headers["ce_sequence"]),
            traceparent=headers.get("traceparent", ""),
        )
        return meta, orjson.loads(record.value)
    except KeyError as error:
        raise MalformedRecord(f"the header {error} is missing") from None
    except ValueError as error:
        raise MalformedRecord(f"not readable: {error}") from None
