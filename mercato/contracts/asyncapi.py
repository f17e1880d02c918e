"""The AsyncAPI 3.0 document of a service: the events that it publishes, and those of others that it consumes."""

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
    """The document as data, always in the same order."""
    refs, definitions = schemas((event, "validation") for event in service.events)
    channels: dict[str, JsonSchema] = {}
    operations: dict[str, JsonSchema] = {}
    messages: dict[str, JsonSchema] = {}
    extra: dict[str, JsonSchema] = {}
    if service.events:
        channel = f"{service.name}.events"
        channels[channel] = _channel(channel, "What happened here.", {e.type: _own(e) for e in service.events})
        operations["publish"] = _does("send", channel, (event.type for event in service.events))
        messages |= {event.type: _message(event, refs[event, "validation"]) for event in service.events}
        extra["CloudEvent"] = _headers(service.name)
    for source, events in _consumed(service).items():
        channel = f"{source}.events"
        if source != service.name:
            channels[channel] = _channel(channel, f"What {source} says.", {e.type: _foreign(e) for e in events})
        operations[f"consume{source.capitalize()}"] = _does("receive", channel, (event.type for event in events))
    if service.handlers:
        channel = f"{service.name}.dead"
        said = "Copies of the events that could not be handled here."
        channels[channel] = _channel(channel, said, {"dead": {"$ref": "#/components/messages/dead"}})
        operations["park"] = _does("send", channel, ["dead"])
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
    """Source -> the events of it that have a handler here, by the order of their names."""
    found: dict[str, list[type[Event]]] = {}
    for event in sorted(service.handlers, key=lambda event: (event.service, event.type)):
        found.setdefault(event.service, []).append(event)
    return found


def _channel(address: str, said: str, messages: dict[str, JsonSchema]) -> JsonSchema:
    return {"address": address, "description": said, "messages": messages}


def _does(action: str, channel: str, types: Iterable[str]) -> JsonSchema:
    at = f"#/channels/{channel}"
    messages = [{"$ref": f"{at}/messages/{type}"} for type in types]
    return {"action": action, "channel": {"$ref": at}, "messages": messages}


def _own(event: type[Event]) -> JsonSchema:
    return {"$ref": f"#/components/messages/{event.type}"}


def _foreign(event: type[Event]) -> JsonSchema:
    """Another's event is described by its owner alone."""
    return {"$ref": f"../../{event.service}/contract/asyncapi.yaml#/components/messages/{event.type}"}


def _message(event: type[Event], payload: JsonSchema) -> JsonSchema:
    key = {"type": "string", "description": f"`{to_camel(event.key)}` of the data"}
    said = {"summary": inspect.cleandoc(event.__doc__)} if event.__doc__ else {}
    return {
        "name": event.type,
        **said,
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/CloudEvent"},
        "payload": payload,
        "bindings": {"kafka": {"key": key, "bindingVersion": _BINDING}},
    }


def _headers(source: str) -> JsonSchema:
    """CloudEvents 1.0 in binary mode, as `chassis.events.envelope` writes it."""
    properties: dict[str, JsonSchema] = {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "`<aggregate id>:<sequence>`; the same in each delivery."},
        "ce_source": {"type": "string", "const": source},
        "ce_type": {"type": "string", "description": "The name of the message."},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "description": "The id of the aggregate."},
        "ce_sequence": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "Counts an aggregate's events."},
        "traceparent": {"type": "string", "description": "W3C Trace Context."},
    }
    required = [name for name in properties if name != "traceparent"]
    return {"type": "object", "description": "CloudEvents 1.0.", "properties": properties, "required": required}


def _dead_letter() -> JsonSchema:
    properties = {
        "x-topic": {"type": "string", "description": "Where it was read."},
        "x-reason": {"type": "string", "description": "Why it was parked."},
        "x-handler": {"type": "string", "description": "The handler that failed, if one was called."},
    }
    said = "The headers as they were read, and why it is here."
    return {
        "name": "dead",
        "summary": "The record as it was read, whatever it holds",
        "headers": {"type": "object", "description": said, "properties": properties, "required": [*properties]},
        "payload": {"description": "The value as it was read."},
    }
