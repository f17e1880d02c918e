"""The driver over a real store: who may go on with a saga, and what a driver that died or slept leaves."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.messages import Command
from chassis.sagas import Saga, Step
from chassis.sagas.driver import DUE, Driver
from chassis.store import Collection, Duplicate
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import FakeClock

LEASE = 10.0


class Declined(DomainError, title="Payment declined"):
    """The step is rejected."""


class Reserve(Command):
    order_id: str


class Release(Command):
    order_id: str


class Charge(Command):
    order_id: str
    token: str


SAGA = Saga("checkout", (Step("reserve", Reserve, Release), Step("charge", Charge)), secrets=("token",))


class Death(BaseException):
    """The process ends here."""


class Callee:
    """Remembers what it was sent, and answers as it was told: with nothing, or by raising."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.answers: dict[str, list[BaseException]] = {}
        self.meanwhile: dict[str, Any] = {}

    def __call__(self, command: Command, key: str) -> None:
        self.sent.append((command.name, key))
        if command.name in self.meanwhile:
            self.meanwhile.pop(command.name)()
        if self.answers.get(command.name):
            raise self.answers[command.name].pop(0)


@pytest.fixture
def callee() -> Callee:
    return Callee()


@pytest.fixture
def sagas(tmp_path: Path) -> Collection:
    collection = Collection("sagas", DUE)
    collection.attach(SqliteStore(tmp_path / "orders.db")).ensure_indexes()
    return collection


@pytest.fixture
def driver(sagas: Collection, callee: Callee, fake_clock: FakeClock) -> Driver:
    return Driver(SAGA, sagas, lambda: LEASE, callee)


def begin(driver: Driver) -> dict[str, Any]:
    return driver.open("o1", {"order_id": "o1", "token": "secret"})


def test_a_saga_is_driven_to_its_end_and_its_secrets_leave_the_store(
    driver: Driver, sagas: Collection, callee: Callee
) -> None:
    driver.drive(begin(driver))
    saga = sagas.get("o1")
    assert saga is not None
    assert (saga["open"], saga["ended"], saga["data"]) == (False, "done", {"order_id": "o1"})
    assert callee.sent == [("reserve", "o1:reserve"), ("charge", "o1:charge")]


def test_a_saga_is_begun_once(driver: Driver) -> None:
    begin(driver)
    with pytest.raises(Duplicate):
        begin(driver)


def test_a_saga_can_be_taken_over_only_when_its_lease_is_over(driver: Driver, fake_clock: FakeClock) -> None:
    begin(driver)
    fake_clock.pass_time(LEASE - 0.1)
    assert driver.find_due() == []
    fake_clock.pass_time(0.2)
    assert [doc["_id"] for doc in driver.find_due()] == ["o1"]


def test_of_two_drivers_that_find_a_saga_due_one_gets_it(driver: Driver, fake_clock: FakeClock) -> None:
    begin(driver)
    fake_clock.pass_time(LEASE + 1)
    (found,) = driver.find_due()
    assert driver.claim(found) is not None
    assert driver.claim(found) is None
    assert driver.find_due() == []


@pytest.mark.parametrize("dies_at", ["reserve", "charge"])
def test_what_a_dead_driver_sent_is_sent_again_under_the_same_key(
    driver: Driver, callee: Callee, sagas: Collection, fake_clock: FakeClock, dies_at: str
) -> None:
    callee.answers[dies_at] = [Death()]
    with pytest.raises(Death):
        driver.drive(begin(driver))
    fake_clock.pass_time(LEASE + 1)
    driver.resume(driver.find_due()[0])
    assert [key for name, key in callee.sent if name == dies_at] == [f"o1:{dies_at}"] * 2
    ended = sagas.get("o1")
    assert ended is not None and ended["ended"] == "done"


def test_a_driver_that_slept_past_its_lease_writes_nothing(
    driver: Driver, callee: Callee, sagas: Collection, fake_clock: FakeClock
) -> None:
    def another_takes_over() -> None:
        fake_clock.pass_time(LEASE + 1)
        driver.resume(driver.find_due()[0])

    callee.meanwhile["reserve"] = another_takes_over
    callee.answers["reserve"] = []
    seen = driver.drive(begin(driver))
    after = sagas.get("o1")
    assert seen == after
    assert after is not None
    assert (after["ended"], after["fence"]) == ("done", 2)
    assert [key for _, key in callee.sent] == ["o1:reserve", "o1:reserve", "o1:charge"]


def test_a_step_whose_driver_died_counts_as_perhaps_done_and_is_undone(
    driver: Driver, callee: Callee, sagas: Collection, fake_clock: FakeClock
) -> None:
    callee.answers["reserve"] = [Death()]
    with pytest.raises(Death):
        driver.drive(begin(driver))
    fake_clock.pass_time(601)
    callee.answers["reserve"] = [NotAttempted("away")]
    driver.resume(driver.find_due()[0])
    assert callee.sent[-1] == ("release", "o1:reserve:undo")
    ended = sagas.get("o1")
    assert ended is not None and ended["ended"] == "undone"


def test_a_refused_step_undoes_those_before_it(driver: Driver, callee: Callee, sagas: Collection) -> None:
    callee.answers["charge"] = [Declined("No money.")]
    saga = driver.drive(begin(driver))
    assert (saga["ended"], saga["reason"]["kind"], "token" in saga["data"]) == ("undone", "declined", False)
    assert callee.sent[-1] == ("release", "o1:reserve:undo")


def test_a_request_leaves_a_saga_that_must_wait_to_the_worker(
    driver: Driver, callee: Callee, sagas: Collection, fake_clock: FakeClock
) -> None:
    callee.answers["charge"] = [OutcomeUnknown("late")] * 9
    saga = driver.drive(begin(driver), max_s=1.0)
    assert saga["open"] and saga["outcomeUnknown"]
    fake_clock.pass_time(6)
    assert [doc["_id"] for doc in driver.find_due()] == ["o1"]


def test_an_undo_is_tried_until_it_is_done(driver: Driver, callee: Callee, fake_clock: FakeClock) -> None:
    callee.answers["charge"] = [Declined()]
    callee.answers["release"] = [OutcomeUnknown("late")] * 30
    driver.drive(begin(driver))
    for _ in range(30):
        fake_clock.pass_time(16)
        driver.resume(driver.find_due()[0])
    assert driver.find_due() == []
    assert callee.sent.count(("release", "o1:reserve:undo")) == 31


def test_what_is_open_is_told_by_its_step_and_age_and_what_has_ended_is_counted_once(
    driver: Driver, callee: Callee, fake_clock: FakeClock
) -> None:
    def told(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"saga": "checkout", **labels}) or 0.0

    before = told("mercato_saga_finished_total", outcome="undone")
    callee.answers["charge"] = [Declined()]
    callee.answers["release"] = [OutcomeUnknown("lost")] * 11
    driver.drive(driver.open("o1", {"order_id": "o1", "token": "t"}), max_s=60)
    fake_clock.pass_time(40)
    driver._export_metrics()
    assert (
        told("mercato_saga_open", step="reserve"),
        told("mercato_saga_open", step="charge"),
        told("mercato_saga_stuck"),
    ) == (1, 0, 1)
    assert told("mercato_saga_oldest_age_seconds", step="reserve") >= 40
    while due := driver.find_due() or driver.collection.find({"open": True}):
        fake_clock.pass_time(15)
        driver.resume(due[0])
    driver._export_metrics()
    assert not told("mercato_saga_open", step="reserve") and not told("mercato_saga_stuck")
    assert told("mercato_saga_finished_total", outcome="undone") == before + 1
