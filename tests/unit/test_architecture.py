"""Architecture rules that no linter checks."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from chassis.messages import ANY_SERVICE
from chassis.service import Service
from mercato.catalog import CHART, catalog
from tests.personal_data import NOT_EXPORTED

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
    declared = {each for each in _commands(messages.__name__, vars(messages)) if each.__module__ == messages.__name__}
    assert declared == set(_service(name).commands)


@pytest.mark.parametrize("name", SERVICES)
def test_every_declared_event_is_published(name):
    from chassis.messages import Event

    declared = {
        item
        for item in vars(import_module(f"services.{name}.messages")).values()
        if isinstance(item, type) and issubclass(item, Event) and item is not Event
    }
    assert declared == set(_service(name).events)


NAMES_A_PERSON = {"userId", "user", "authorId", "buyerId", "ownerId", "email", "emailKey", "caller"}
"""Fields that hold an address or the id of a user."""


def test_every_service_with_personal_data_is_part_of_the_export():
    from services.users.export import OWN, QUERIES

    answered = {query.service: query for query in QUERIES}
    for name in SERVICES:
        service = _service(name)
        exported = {each.collection.name for each in service.personal}
        naming = {
            each.name
            for each in service.collections
            if NAMES_A_PERSON & {field for index in each.indexes for field in index.fields}
        }
        assert naming - exported <= set(NOT_EXPORTED), f"{name}: declare them with service.exports(...)"
        if exported and name != "users":
            assert answered[name] in service.commands, f"{name}: add its query to services.users.export.QUERIES"
    assert _service("users").personal == list(OWN)


@pytest.mark.parametrize("name", SERVICES)
def test_an_export_names_no_secret_and_no_internal_field(name):
    secret = {"password", "secondFactor", "secondFactorOffer", "current", "previous", "tokenHash", "outbox", "dedupKey"}
    assert not [each.fields for each in _service(name).personal if secret & set(each.fields)]


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


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "users"])
def test_a_service_refuses_the_revoked_tokens_of_users(name):
    """A service that verifies tokens and forgets `revokes` would accept those of an erased user for ten minutes."""
    service = _service(name)
    revoking = {event for event in _service("users").events if hasattr(event, "revocation")}
    assert len(revoking) == 2
    assert not service.apis or set(service.revoking_events) == revoking
