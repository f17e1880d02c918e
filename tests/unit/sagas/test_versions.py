"""Sagas outlive the release that opened them: their definition has a version, and their data get new fields."""

from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import Field

from chassis.messages import Command
from chassis.sagas import LaterVersion, Saga, Step, interventions
from chassis.sagas.driver import MAX_DUE, Driver
from chassis.schema import SagaData
from chassis.store import Collection
from chassis.testing import FakeClock


class Reserve(Command):
    order_id: str


class Check(Command):
    order_id: str


class Confirm(Command):
    order_id: str


class ConfirmOfLater(Command, name="confirm"):
    order_id: str
    site: str


class Data(SagaData):
    order_id: str


class DataOfLater(Data):
    site: str = Field(default_factory=lambda: "berlin")


FIRST = Saga("buy", (Step("reserve", Reserve), Step("confirm", Confirm)), data=Data)
SECOND = Saga(
    "buy",
    (Step("check", Check), Step("reserve", Reserve), Step("confirm", ConfirmOfLater)),
    data=DataOfLater,
    version=2,
    earlier=(Saga("buy", (Step("reserve", Reserve), Step("confirm", ConfirmOfLater)), data=DataOfLater),),
)


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def old(sagas: Collection, sent: list[dict[str, Any]]) -> Driver:
    return Driver(FIRST, sagas, lambda: 10.0, lambda command, key: sent.append({command.name: command.data()}))


@pytest.fixture
def new(sagas: Collection, sent: list[dict[str, Any]]) -> Driver:
    return Driver(SECOND, sagas, lambda: 10.0, lambda command, key: sent.append({command.name: command.data()}))


def test_saga_goes_on_by_the_version_that_it_was_opened_with(
    old: Driver, new: Driver, sagas: Collection, sent: list[dict[str, Any]], fake_clock: FakeClock
) -> None:
    old.open("o1", {"order_id": "o1"})
    fake_clock.pass_time(11)
    for doc in new.find_due():
        new.resume(doc)
    assert [name for each in sent for name in each] == ["reserve", "confirm"]
    assert sent[-1] == {"confirm": {"orderId": "o1", "site": "berlin"}}, "a field that it was opened without"
    ended = sagas.get("o1")
    assert ended is not None and (ended["ended"], ended["sagaVersion"]) == ("done", 1)


def test_saga_of_a_release_without_versions_has_the_first(
    old: Driver, new: Driver, sagas: Collection, sent: list[dict[str, Any]], fake_clock: FakeClock
) -> None:
    doc = {name: value for name, value in old.open("o1", {"order_id": "o1"}).items() if name != "sagaVersion"}
    sagas.delete("o1")
    sagas.insert(doc)
    fake_clock.pass_time(11)
    for each in new.find_due():
        new.resume(each)
    assert [name for each in sent for name in each] == ["reserve", "confirm"]


def test_driver_leaves_sagas_of_a_later_release_to_its_drivers(
    old: Driver, new: Driver, sagas: Collection, sent: list[dict[str, Any]], fake_clock: FakeClock
) -> None:
    opened = new.open("o1", {"order_id": "o1"})
    fake_clock.pass_time(11)
    assert old.find_due() == []
    with pytest.raises(LaterVersion):
        interventions.intervene(old, "o1", interventions.abort, "aborted", "no")
    old.export_gauges()
    assert sagas.get("o1") == opened and sent == []
    for doc in new.find_due():
        new.resume(doc)
    assert [name for each in sent for name in each] == ["check", "reserve", "confirm"]


def test_many_sagas_of_a_later_release_hold_up_no_other(old: Driver, new: Driver, fake_clock: FakeClock) -> None:
    for number in range(2 * MAX_DUE):
        new.open(f"later-{number}", {"order_id": "o"})
    fake_clock.pass_time(1)
    old.open("o1", {"order_id": "o1"})
    fake_clock.pass_time(11)
    assert [doc["_id"] for doc in old.find_due()] == ["o1"]


def test_gauges_of_steps_of_other_versions_return_to_zero(sagas: Collection, fake_clock: FakeClock) -> None:
    def exported(step: str) -> float | None:
        return REGISTRY.get_sample_value("mercato_saga_open", {"saga": "sell", "step": step})

    earlier = Saga("sell", (Step("offer", Reserve), Step("haggle", Check)))
    present = Saga("sell", (Step("offer", Reserve),), version=2, earlier=(earlier,))
    later = Saga("sell", (Step("draw", Reserve),), version=3)
    driver = Driver(present, sagas, lambda: 10.0, lambda command, key: None)
    doc = Driver(earlier, sagas, lambda: 10.0, lambda command, key: None).open("o1", {"order_id": "o1"})
    sagas.update("o1", {"$set": {"step": 1}})
    Driver(later, sagas, lambda: 10.0, lambda command, key: None).open("o2", {"order_id": "o2"})
    driver.export_gauges()
    assert [exported(step) for step in ("offer", "haggle", "")] == [0, 1, 1]
    for id in (doc["_id"], "o2"):
        sagas.update(id, {"$set": {"open": False}})
    driver.export_gauges()
    assert [exported(step) for step in ("offer", "haggle", "")] == [0, 0, 0]
