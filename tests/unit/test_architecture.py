"""Architecture rules that no linter checks."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from chassis.messages import ANY_SERVICE
from chassis.service import Service
from mercato.catalog import CHART, catalog

ROOT = Path(__file__).parents[2]
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/service.py"))


def test_folders_and_chart_list_the_same_services():
    assert sorted(catalog()) == SERVICES


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_one_name_everywhere(name):
    service = _service(name)
    assert service.name == name
    assert all(event.service == name for event in service.events)
    assert all(command.service == name for command in service.commands)
    for api in service.apis:
        for operation in api.operations:
            assert any(operation.path.startswith(route) for route in catalog()[name].routes), operation.path


@pytest.mark.parametrize("name", SERVICES)
def test_the_chart_lists_the_calls_of_a_service(name):
    assert sorted(_service(name).upstreams) == sorted(catalog()[name].calls)


@pytest.mark.parametrize("name", SERVICES)
def test_the_chart_lists_the_audits_of_a_service(name):
    values = yaml.safe_load(CHART.read_text())["services"][name]
    assert bool(_service(name).audited) is values.get("audits", False)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_sends_commands_only_to_declared_services(name):
    sent = {module.split(".")[1] for module, names in _imported(name) if _commands(module, names)}
    assert sent <= set(_service(name).upstreams)


def test_the_callers_of_a_command_are_the_services_that_send_it():
    senders = {}
    for name in SERVICES:
        for module, names in _imported(name):
            for command in _commands(module, names):
                senders.setdefault(command, set()).add(name)
    for name in SERVICES:
        for command in _service(name).commands:
            if command.callers != (ANY_SERVICE,):
                assert set(command.callers) == senders.get(command, set()), command.name


@pytest.mark.parametrize("name", SERVICES)
def test_services_import_only_messages_of_each_other(name):
    foreign = {module for module, _ in _imported(name)}
    assert all(module.split(".")[2:] == ["messages"] for module in foreign), foreign


@pytest.mark.parametrize("name", SERVICES)
def test_every_declared_command_is_answered(name):
    messages = import_module(f"services.{name}.messages")
    assert set(_commands(messages.__name__, vars(messages))) == set(_service(name).commands)


@pytest.mark.parametrize("name", SERVICES)
def test_every_declared_event_is_published(name):
    from chassis.messages import Event

    declared = {
        item
        for item in vars(import_module(f"services.{name}.messages")).values()
        if isinstance(item, type) and issubclass(item, Event) and item is not Event
    }
    assert declared == set(_service(name).events)


def _service(name) -> Service:
    return import_module(f"services.{name}.service").service


def _imported(name):
    """Yield (module, names) of each import from another service."""
    for path in (ROOT / "services" / name).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("services."):
                if node.module.split(".")[1] != name:
                    yield node.module, [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.startswith("services.") and alias.name.split(".")[1] != name:
                        yield alias.name, []


def _commands(module, names):
    from chassis.messages import Command

    found = import_module(module)
    items = [getattr(found, item) for item in names]
    return [item for item in items if isinstance(item, type) and issubclass(item, Command) and item is not Command]
