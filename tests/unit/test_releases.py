"""What recorded releases left is understood by the present code: see tests/releases/record.py."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.messages import Command
from chassis.sagas import interventions
from chassis.sagas.driver import Driver
from chassis.sagas.interventions import intervene
from chassis.store import Doc
from chassis.store.sqlite.store import SqliteStore
from mercato.cli.services import load_service
from mercato.contracts import breaking
from mercato.contracts.files import contract
from services.orders import projection, repository
from services.orders.checkout import checkout, sagas
from tests.releases.record import FOLDER, REPLIES, recorded_sagas

SAGAS = sorted(FOLDER.glob("*/sagas/checkout/*.json"))
CONTRACTS = sorted(FOLDER.glob("*/contracts/*/*.yaml"))
LATER_S = 3600.0
LOCAL = {step.name for step in checkout.steps if not isinstance(step.do, type)}


def label(path: Path) -> str:
    return f"{path.relative_to(FOLDER).parts[0]}-{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", SAGAS, ids=label)
def test_a_recorded_checkout_is_resumed_to_its_end(path: Path, tmp_path: Path, fake_clock) -> None:
    attach_stores(tmp_path / "store.db")
    resume_to_its_end(json.loads(path.read_text()), fake_clock)


def test_what_the_next_release_will_record_is_resumed_to_its_end(tmp_path: Path, fake_clock) -> None:
    recorded = dict(recorded_sagas(checkout, sagas, tmp_path / "recorded.db"))
    blocking = {step.name for step in checkout.steps} - {"reserve stock"}  # which is compensated after 30 s
    assert recorded.keys() >= {f"{name.replace(' ', '-')}-blocked" for name in blocking}
    assert all(doc["blocked"] for name, doc in recorded.items() if name.endswith("-blocked"))
    for name, doc in recorded.items():
        attach_stores(tmp_path / f"{name}.db")
        resume_to_its_end(doc, fake_clock)


def attach_stores(file: Path) -> None:
    store = SqliteStore(file)
    for collection in (sagas, repository.streams, projection.summaries):
        collection.attach(store)
        collection.ensure_indexes()


def resume_to_its_end(recorded: Doc, fake_clock) -> None:
    """Resume a recorded saga, which an operator has retried if it is blocked, and check how it goes on."""
    sagas.insert(recorded)
    sent: list[str] = []

    def accept(command: Command, key: str) -> object:
        if key:  # else a heartbeat
            sent.append(key.partition(":")[2].replace("-", " "))
        return _accept(command, key)

    driver = Driver(checkout, sagas, lambda: 10.0, send=accept)
    checkout.steps[0].do(recorded["data"])  # the order of the recorded saga was placed
    fake_clock.pass_time(LATER_S)
    if recorded.get("blocked"):
        assert driver.find_due() == []
        intervene(driver, recorded["_id"], interventions.retry, "retried", "corrected")
        fake_clock.pass_time(1)
    for doc in driver.find_due():
        driver.resume(doc)
    ended = sagas.get(recorded["_id"])
    assert not ended["open"]
    assert ended["ended"] in ("done", "undone")
    assert ended["ended"] == "undone" or not recorded["undoing"]
    assert "payment_token" not in ended["data"]
    assert sent == [name for name in remaining(recorded, ended) if name.removesuffix(":undo") not in LOCAL]
    if recorded["open"]:
        final = {"done": "confirmed", "undone": "rejected"}[ended["ended"]]
        assert repository.get(recorded["_id"]).status == final


def remaining(recorded: dict[str, Any], ended: dict[str, Any]) -> list[str]:
    """Return the actions after the recorded state, in order: no step is repeated, and none is left out."""
    names, at = [step.name for step in checkout.steps], recorded["step"]
    if not recorded["open"]:
        return []
    if ended["ended"] == "done":
        return names[at:]
    return [f"{step.name}:undo" for step in reversed(checkout.steps[: at + 1]) if step.undo]


@pytest.mark.parametrize("path", CONTRACTS, ids=label)
def test_a_recorded_contract_is_still_kept(path: Path) -> None:
    """By the code, whatever the committed contract says."""
    present, recorded = present_contracts(path.parent.name)[path.name], yaml.safe_load(path.read_text())
    if recorded["info"]["version"] == present["info"]["version"]:
        assert breaking.changes(recorded, present) == []


@cache
def present_contracts(service: str) -> dict[str, Any]:
    """Return file name -> contract document of a service, as its code is now."""
    return {path.name: yaml.safe_load(text) for path, text in contract(load_service(service)).items()}


def _accept(command: Command, key: str) -> object:
    """Answer every command as its service does when it accepts it."""
    step = key.partition(":")[2].replace("-", " ")
    return command.Reply(**REPLIES[step]) if step in REPLIES else None
