"""The contracts in `services/*/contract`: generated from the code, valid, and without breaking changes."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

from chassis.web.api import ADMIN, ANYONE, OPTIONAL
from chassis.web.problem_document import problem_type
from chassis.web.problems import STATUS
from mercato.catalog import catalog
from mercato.cli.services import load_service
from mercato.contracts import breaking
from mercato.contracts.files import SERVICES, contract, drifted

ROOT = SERVICES.parent
OPENAPI = [SERVICES / name / "contract" / "openapi.yaml" for name in catalog()]
ASYNCAPI = [SERVICES / name / "contract" / "asyncapi.yaml" for name in catalog()]
COMMANDS = sorted(SERVICES.glob("*/contract/commands.yaml"))
SAGAS = sorted(SERVICES.glob("*/contract/sagas.yaml"))


def of_service(path):
    return path.parent.parent.name


each_service = pytest.mark.parametrize("name", catalog())
each_openapi = pytest.mark.parametrize("path", OPENAPI, ids=of_service)
each_asyncapi = pytest.mark.parametrize("path", ASYNCAPI, ids=of_service)
each_commands = pytest.mark.parametrize("path", COMMANDS, ids=of_service)
each_file = pytest.mark.parametrize(
    "path", OPENAPI + ASYNCAPI + COMMANDS + SAGAS, ids=lambda path: f"{of_service(path)}-{path.stem}"
)


@cache
def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@each_service
def test_contract_matches_the_code(name):
    stale = [str(path.relative_to(ROOT)) for path in drifted(load_service(name))]
    assert not stale, "run `mercato contracts` and look at what it changed"


@each_service
def test_contract_folder_holds_nothing_else(name):
    assert set((SERVICES / name / "contract").iterdir()) == set(contract(load_service(name)))


@each_file
def test_contract_has_no_breaking_change(path):
    now = read(path)
    earlier = [yaml.safe_load(text) for text in committed(path)]
    broken = [
        change
        for document in earlier
        if document["info"]["version"] == now["info"]["version"]
        for change in breaking.changes(document, now)
    ]
    assert not broken, "keep what clients use, or raise mercato.contracts.VERSION"


def committed(path: Path) -> list[str]:
    """Return the file as the last two commits left it that changed it."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("there is no git history here")
    name = path.relative_to(ROOT).as_posix()
    log = subprocess.run([git, "log", "-2", "--format=%H", "--", name], cwd=ROOT, capture_output=True, text=True)
    found = (
        subprocess.run([git, "show", f"{commit}:{name}"], cwd=ROOT, capture_output=True, text=True)
        for commit in log.stdout.split()
    )
    texts = [shown.stdout for shown in found if shown.returncode == 0]
    if not texts:
        pytest.skip(f"{name} is not committed yet")
    return texts


@each_openapi
def test_openapi_document_is_valid(path):
    validate(read(path))


@each_service
def test_every_route_is_described_with_its_security(name):
    paths = read(SERVICES / name / "contract" / "openapi.yaml")["paths"]
    needs = {ANYONE: [], OPTIONAL: [{}, {"bearer": []}], ADMIN: [{"bearer": ["admin"]}]}
    for api in load_service(name).apis:
        for operation in api.operations:
            described = paths[operation.path][operation.method.lower()]
            optional = [{}, *needs[ADMIN]] if operation.admin_parameters else []
            assert described["security"] == (optional or needs.get(operation.auth, [{"bearer": []}]))
            assert {str(status) for status in operation.responses} <= set(described["responses"])
            if described["security"]:
                assert "401" in described["responses"]


@each_service
def test_every_error_of_a_route_is_described_with_its_status(name):
    document = read(SERVICES / name / "contract" / "openapi.yaml")
    for operation in (operation for api in load_service(name).apis for operation in api.operations):
        responses = document["paths"][operation.path][operation.method.lower()]["responses"]
        for error in operation.all_errors:
            response = responses[str(STATUS[error.category])]
            response = resolved(None, response["$ref"], document) if "$ref" in response else response
            schema = response["content"]["application/problem+json"]["schema"]
            assert problem_type(error.kind) in schema["allOf"][1]["properties"]["type"]["enum"]


@each_commands
def test_every_command_is_described_with_its_errors(path):
    service, document = load_service(of_service(path)), read(path)
    assert {command.name: [problem_type(error.kind) for error in command.errors] for command in service.commands} == {
        name: command["errors"] for name, command in document["operations"].items()
    }


@each_asyncapi
def test_asyncapi_document_has_the_required_parts(path):
    document = read(path)
    assert document["asyncapi"] == "3.0.0"
    assert document["info"]["title"] and document["info"]["version"]
    for channel in document["channels"].values():
        assert channel["address"] and channel["messages"]
    for operation in document["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]
        assert all(
            each["$ref"].startswith(operation["channel"]["$ref"] + "/messages/") for each in operation["messages"]
        )


@each_file
def test_every_reference_resolves(path):
    for reference in references(read(path)):
        assert resolved(path, reference) is not None, reference


def references(part):
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolved(path, reference, document=None):
    """Return what a reference leads to, in this or another file, or None."""
    file, _, pointer = reference.partition("#/")
    found = document or read((path.parent / file).resolve() if file else path)
    for part in pointer.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found


@each_asyncapi
def test_every_consumed_event_is_published_by_its_owner(path):
    document = read(path)
    for channel in document["channels"].values():
        for type, message in channel["messages"].items():
            owner = SERVICES / channel["address"].partition(".")[0] / "contract" / "asyncapi.yaml"
            assert resolved(path, message["$ref"])["name"] == type
            assert type in read(owner)["channels"][channel["address"]]["messages"]
