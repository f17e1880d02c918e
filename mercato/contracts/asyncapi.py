"""The AsyncAPI 3.0 document of a service: the events that it publishes and consumes."""

import inspect
from collections.abc import Iterable
from typing import Any

from pydantic.alias_generators import to_camel

from chassis.messages import Event
from chassis.service import Service
from mercato.contracts import info
from mercato.contracts.schemas import JsonSchema, schemas

_BINDING = "0.5.0"


def document(service: Service) -> dict[str, Any]:
    """Return the document as data, always in the same order."""
    refs, definitions = schemas((event, "validation") for event in service.events)
    channels: dict[str, JsonSchema] = {}
    operations: dict[str, JsonSchema] = {}
    messages: dict[str, JsonSchema] = {}
    extra: dict[str, JsonSchema] = {}
    if service.events:
        channel = f"{service.name}.events"
        channels[channel] = _channel(
            channel, f"The events of {service.name}.", {e.type: _own(e) for e in service.events}
        )
        operations["publish"] = _operation("send", channel, (event.type for event in service.events))
        messages |= {event.type: _message(event, refs[event, "validation"]) for event in service.events}
        extra["CloudEvent"] = _headers(service.name)
    for source, events in _consumed(service).items():
        channel = f"{source}.events"
        if source != service.name:
            channels[channel] = _channel(channel, f"The events of {source}.", {e.type: _foreign(e) for e in events})
        operations[f"consume{source.capitalize()}"] = _operation("receive", channel, (event.type for event in events))
    if service.handlers:
        channel = f"{service.name}.dead"
        description = "Copies of the records that this service could not handle."
        channels[channel] = _channel(channel, description, {"dead": {"$ref": "#/components/messages/dead"}})
        operations["park"] = _operation("send", channel, ["dead"])
        messages["dead"] = _dead_letter()
    return {
        "asyncapi": "3.0.0",
        "info": info(service),
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {**extra, **definitions}},
    }


def _consumed(service: Service) -> dict[str, list[type[Event]]]:
    """Return service -> its events that have a handler here, ordered by name."""
    found: dict[str, list[type[Event]]] = {}
    for event in sorted(service.handlers, key=lambda event: (event.service, event.type)):
        found.setdefault(event.service, []).append(event)
    return found


def _channel(address: str, description: str, messages: dict[str, JsonSchema]) -> JsonSchema:
    return {"address": address, "description": description, "messages": messages}


def _operation(action: str, channel: str, types: Iterable[str]) -> JsonSchema:
    at = f"#/channels/{channel}"
    messages = [{"$ref": f"{at}/messages/{type}"} for type in types]
    return {"action": action, "channel": {"$ref": at}, "messages": messages}


def _own(event: type[Event]) -> JsonSchema:
    return {"$ref": f"#/components/messages/{event.type}"}


def _foreign(event: type[Event]) -> JsonSchema:
    """Refer to the document of the service that owns the event."""
    return {"$ref": f"../../{event.service}/contract/asyncapi.yaml#/components/messages/{event.type}"}


def _message(event: type[Event], payload: JsonSchema) -> JsonSchema:
    key = {"type": "string", "description": f"`{to_camel(event.key)}` of the data"}
    summary = {"summary": inspect.cleandoc(event.__doc__)} if event.__doc__ else {}
    return {
        "name": event.type,
        **summary,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEvent"},
        "payload": payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
    }


def _headers(source: str) -> JsonSchema:
    """Return the headers: CloudEvents 1.0 in binary mode, as `chassis.events.envelope` writes them."""
    properties: dict[str, JsonSchema] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "`<aggregate id>:<sequence>`; the same in each delivery."},
        "ce_source": {"type": "string", "const": source},
        "ce_type": {"type": "string", "description": "The type of the event."},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "description": "The id of the aggregate."},
        "ce_sequence": {
            "type": "string",
            "pattern": "^[1-9][0-9]*$",
            "description": "Counts the events of an aggregate.",
        },
        "traceparent": {"type": "string", "description": "W3C Trace Context."},
    }
    required = [name for name in properties if name != "traceparent"]
    return {"type": "object", "description": "CloudEvents 1.0.", "properties": properties, "required": required}


def _dead_letter() -> JsonSchema:
    properties = {
        "x-topic": {"type": "string", "description": "The topic that the record was read from."},
        "x-reason": {"type": "string", "description": "Why it was parked."},
        "x-handler": {"type": "string", "description": "The handler that failed, if one was called."},
    }
    description = "The headers of the record, and why it was parked."
    return {
        "name": "dead",
        "summary": "A record that could not be handled, as it was read",
        "headers": {"type": "object", "description": description, "properties": properties, "required": [*properties]},
        "payload": {"description": "The value of the record."},
    }
