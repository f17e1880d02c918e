"""The sagas document of a service: the steps by which open sagas go on, and the data that is stored with them."""

from typing import Any

from chassis.messages import Command
from chassis.sagas import Action, Saga, Step
from chassis.service import Service
from mercato.contracts import info
from mercato.contracts.schemas import JsonSchema, schema_of


def document(service: Service) -> dict[str, Any]:
    """Return the document as data, always in the same order."""
    definitions: dict[str, JsonSchema] = {}
    sagas = {driver.saga.name: _versions(driver.saga, definitions) for driver in service.drivers}
    return {
        "sagas": "1.0.0",
        "info": info(service),
        "definitions": sagas,
        "components": {"schemas": dict(sorted(definitions.items()))},
    }


def _versions(saga: Saga, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """Return version -> definition. A version is text, as each key in YAML and JSON."""
    listed = sorted((saga, *saga.earlier), key=lambda each: each.version)
    return {str(each.version): _definition(each, definitions) for each in listed}


def _definition(saga: Saga, definitions: dict[str, JsonSchema]) -> JsonSchema:
    data = schema_of(saga.data, "validation", definitions) if saga.data else {}
    return {"steps": [_step(step) for step in saga.steps], "data": data}


def _step(step: Step) -> JsonSchema:
    found = {"name": step.name, "do": _action(step.do), "undo": _action(step.undo)}
    return {word: value for word, value in found.items() if value is not None}


def _action(action: Action | None) -> str | None:
    """Return `service/command`; `local` for a function, whose name is no contract."""
    if isinstance(action, type) and issubclass(action, Command):
        return f"{action.service}/{action.name}"
    return None if action is None else "local"
