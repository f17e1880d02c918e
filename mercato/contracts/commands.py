"""The commands document of a service: what other services may ask it, what it replies, and its domain errors."""

import inspect
from typing import Any

from chassis.messages import Command
from chassis.service import Service
from chassis.web.problem_document import problem_type
from mercato.contracts import info
from mercato.contracts.schemas import JsonSchema, Mode, schema_of


def document(service: Service) -> dict[str, Any]:
    """Return the document as data, always in the same order."""
    definitions: dict[str, JsonSchema] = {}
    commands = {command.name: _command(command, definitions) for command in service.commands}
    return {
        "commands": "1.0.0",
        "info": info(service),
        "operations": commands,
        "components": {"schemas": dict(sorted(definitions.items()))},
    }


def _inlined_reply(command: type[Command]) -> JsonSchema:
    """Return the reply as callers of this release read it: without the fields that they do not need."""
    definitions: dict[str, JsonSchema] = {}
    reply: JsonSchema = _inline(schema_of(command.Reply, "validation", definitions), definitions)
    return reply


def _inline(part: Any, definitions: dict[str, JsonSchema]) -> Any:
    if isinstance(part, list):
        return [_inline(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _inline(definitions[part["$ref"].rpartition("/")[2]], definitions)
    return {word: _inline(value, definitions) for word, value in part.items()}


def _command(command: type[Command], definitions: dict[str, JsonSchema]) -> JsonSchema:
    modes: tuple[Mode, Mode] = ("validation", "serialization")
    request, reply = (
        schema_of(model, mode, definitions) for model, mode in zip((command, command.Reply), modes, strict=True)
    )
    read = _inlined_reply(command)
    return {
        "path": f"/internal/{command.name}",
        **({"summary": inspect.cleandoc(command.__doc__)} if command.__doc__ else {}),
        "callers": sorted(command.callers),
        "readOnly": command.read_only,
        "request": request,
        "reply": reply,
        **({"readAs": read} if read != _inline(reply, definitions) else {}),
        "errors": [problem_type(error.kind) for error in command.errors],
    }
