"""The driver on an embedded store: which driver may continue a saga, and what a dead or late driver leaves."""

from itertools import pairwise
from typing import Any

import pytest
from prometheus_client import REGISTRY

from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.messages import Command
from chassis.sagas import Saga, Step
from chassis.sagas.driver import Driver
from chassis.schema import Schema
from chassis.store import Collection, Duplicate
from chassis.testing import FakeClock, capture_logs
from tests.unit.sagas.buying import Release, Reserve

LEASE = 10.0


class Declined(DomainError, title="Payment declined"):
    """The step is rejected."""


class Charge(Command):
    order_id: str
    token: str


SAGA = Saga("checkout", (Step("reserve", Reserve, Release), Step("charge", Charge)), secrets=("token",))


class Death(BaseException):
    """The end of the process."""


class FakeServices:
    """Services that record the commands, and reply with nothing or with the next error of `errors`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.errors: dict[str, list[BaseException]] = {}
        self.during: dict[str, Any] = {}

    def __call__(self, command: Command, key: str) -> None:
        self.sent.append((command.name, key))
        if command.name in self.during:
            self.during.pop(command.name)()
        if self.errors.get(command.name):
            raise self.errors[command.name].pop(0)


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def driver(sagas: Collection, services: FakeServices, fake_clock: FakeClock) -> Driver:
    return Driver(SAGA, sagas, lambda: LEASE, services)


def begin(driver: Driver) -> dict[str, Any]:
    return driver.open("o1", {"order_id": "o1", "token": "secret"})


def test_saga_is_driven_to_its_end_and_its_secrets_are_deleted(
    driver: Driver, sagas: Collection, services: FakeServices
) -> None:
    driver.drive(begin(driver))
    saga = sagas.get("o1")
    assert saga is not None
    assert (saga["open"], saga["ended"], saga["data"]) == (False, "done", {"order_id": "o1"})
    assert services.sent == [("reserve", "o1:reserve"), ("charge", "o1:charge")]


def test_saga_is_opened_once(driver: Driver) -> None:
    begin(driver)
    with pytest.raises(Duplicate):
        begin(driver)


def test_saga_is_due_only_after_its_lease(driver: Driver, fake_clock: FakeClock) -> None:
    begin(driver)
    fake_clock.pass_time(LEASE - 0.1)
    assert driver.find_due() == []
    fake_clock.pass_time(0.2)
    assert [doc["_id"] for doc in driver.find_due()] == ["o1"]


def test_due_saga_is_claimed_by_one_of_two_drivers(driver: Driver, fake_clock: FakeClock) -> None:
    begin(driver)
    fake_clock.pass_time(LEASE + 1)
    (found,) = driver.find_due()
    assert driver.claim(found) is not None
    assert driver.claim(found) is None
    assert driver.find_due() == []


@pytest.mark.parametrize("dies_at", ["reserve", "charge"])
def test_command_of_a_dead_driver_is_repeated_with_the_same_key(
    driver: Driver, services: FakeServices, sagas: Collection, fake_clock: FakeClock, dies_at: str
) -> None:
    services.errors[dies_at] = [Death()]
    with pytest.raises(Death):
        driver.drive(begin(driver))
    fake_clock.pass_time(LEASE + 1)
    driver.resume(driver.find_due()[0])
    assert [key for name, key in services.sent if name == dies_at] == [f"o1:{dies_at}"] * 2
    ended = sagas.get("o1")
    assert ended is not None and ended["ended"] == "done"


def test_driver_resuming_after_its_lease_expired_writes_nothing(
    driver: Driver, services: FakeServices, sagas: Collection, fake_clock: FakeClock
) -> None:
    def claim_by_another() -> None:
        fake_clock.pass_time(LEASE + 1)
        driver.resume(driver.find_due()[0])

    services.during["reserve"] = claim_by_another
    services.errors["reserve"] = []
    seen = driver.drive(begin(driver))
    after = sagas.get("o1")
    assert seen == after
    assert after is not None
    assert (after["ended"], after["fence"]) == ("done", 2)
    assert [key for _, key in services.sent] == ["o1:reserve", "o1:reserve", "o1:charge"]


def test_step_whose_driver_died_is_undone_at_its_time_limit(
    driver: Driver, services: FakeServices, sagas: Collection, fake_clock: FakeClock
) -> None:
    services.errors["reserve"] = [Death()]
    with pytest.raises(Death):
        driver.drive(begin(driver))
    fake_clock.pass_time(601)
    services.errors["reserve"] = [NotAttempted("away")]
    driver.resume(driver.find_due()[0])
    assert services.sent[-1] == ("release", "o1:reserve:undo")
    ended = sagas.get("o1")
    assert ended is not None and ended["ended"] == "undone"


def test_rejected_step_undoes_the_steps_before_it(driver: Driver, services: FakeServices, sagas: Collection) -> None:
    services.errors["charge"] = [Declined("No money.")]
    saga = driver.drive(begin(driver))
    assert (saga["ended"], saga["reason"]["kind"], "token" in saga["data"]) == ("undone", "declined", False)
    assert services.sent[-1] == ("release", "o1:reserve:undo")


def test_drive_returns_a_saga_that_must_wait_to_the_worker(
    driver: Driver, services: FakeServices, sagas: Collection, fake_clock: FakeClock
) -> None:
    services.errors["charge"] = [OutcomeUnknown("late")] * 9
    saga = driver.drive(begin(driver), max_s=1.0)
    assert saga["open"] and saga["outcomeUnknown"]
    fake_clock.pass_time(6)
    assert [doc["_id"] for doc in driver.find_due()] == ["o1"]


def test_undo_is_repeated_until_it_succeeds(driver: Driver, services: FakeServices, fake_clock: FakeClock) -> None:
    services.errors["charge"] = [Declined()]
    services.errors["release"] = [OutcomeUnknown("late")] * 30
    driver.drive(begin(driver))
    for _ in range(30):
        fake_clock.pass_time(16)
        driver.resume(driver.find_due()[0])
    assert driver.find_due() == []
    assert services.sent.count(("release", "o1:reserve:undo")) == 31


def test_metrics_show_open_sagas_by_step_and_count_ended_ones_once(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    def exported(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"saga": "checkout", **labels}) or 0.0

    before = exported("mercato_saga_finished_total", outcome="undone")
    services.errors["charge"] = [Declined()]
    services.errors["release"] = [OutcomeUnknown("lost")] * 11
    driver.drive(driver.open("o1", {"order_id": "o1", "token": "t"}), max_s=60)
    fake_clock.pass_time(40)
    driver.export_gauges()
    assert (
        exported("mercato_saga_open", step="reserve"),
        exported("mercato_saga_open", step="charge"),
        exported("mercato_saga_stuck"),
    ) == (1, 0, 1)
    assert exported("mercato_saga_oldest_age_seconds", step="reserve") >= 40
    while due := driver.find_due() or driver.collection.find({"open": True}):
        fake_clock.pass_time(15)
        driver.resume(due[0])
    driver.export_gauges()
    assert not exported("mercato_saga_open", step="reserve") and not exported("mercato_saga_stuck")
    assert exported("mercato_saga_finished_total", outcome="undone") == before + 1


class Renew(Command):
    order_id: str

    class Reply(Schema):
        renew_after_ms: int = 0


@pytest.mark.parametrize(("renew_after_ms", "most"), [(600_000, 4), (0, 10_000)])
def test_held_back_step_renews_when_a_third_is_left(
    sagas: Collection, fake_clock: FakeClock, renew_after_ms: int, most: int
) -> None:
    """A charge is not sent for 45 min; an upstream that gives no hint gets a heartbeat before each retry."""
    sent: list[tuple[str, float]] = []
    started = fake_clock.monotonic()

    def send(command: Command, key: str) -> object:
        sent.append((command.name, fake_clock.monotonic() - started))
        if command.name == "charge":
            raise NotAttempted("circuit open for payments")
        return Renew.Reply(renew_after_ms=renew_after_ms)

    steps = (Step("reserve", Reserve, Release), Step("charge", Charge, heartbeat_command=Renew, time_limit_s=None))
    driver = Driver(Saga("checkout", steps), sagas, lambda: LEASE, send)
    driver.drive(begin(driver), max_s=1)
    while fake_clock.monotonic() - started < 45 * 60:
        fake_clock.pass_time(2.5)
        for doc in driver.find_due():
            driver.resume(doc)
    renewals = [at for name, at in sent if name == "renew"]
    charges = [at for name, at in sent if name == "charge"]
    assert len(charges) > 300, "the step itself is tried again as often as before"
    assert 0 < len(renewals) <= most
    if renew_after_ms:
        gaps = [later - earlier for earlier, later in pairwise([0.0, *renewals])]
        assert all(599 < gap < 610 for gap in gaps), "of a reservation of 15 min, a third is left"
    else:
        assert len(renewals) == len(charges) - 1


def test_renewal_that_fails_is_sent_again_at_the_next_retry(
    driver: Driver, services: FakeServices, sagas: Collection, fake_clock: FakeClock
) -> None:
    steps = (Step("reserve", Reserve, Release), Step("charge", Charge, heartbeat_command=Renew))
    driver = Driver(Saga("checkout", steps), sagas, lambda: LEASE, services)
    services.errors["charge"] = [NotAttempted("circuit open")] * 3
    services.errors["renew"] = [OutcomeUnknown("late")]
    driver.drive(begin(driver), max_s=60)
    assert [name for name, _ in services.sent] == [
        *("reserve", "charge"),
        *("renew", "charge", "renew", "charge", "renew", "charge"),
    ]
    ended = sagas.get("o1")
    assert ended is not None and ended["ended"] == "done"


class RenewOfLater(Command, name="renew"):
    order_id: str
    site: str


@pytest.mark.parametrize("heartbeat", [Renew, RenewOfLater], ids=["client", "command"])
def test_renewal_that_meets_a_defect_holds_up_no_step(
    driver: Driver, services: FakeServices, sagas: Collection, fake_clock: FakeClock, heartbeat: type[Command]
) -> None:
    steps = (Step("reserve", Reserve, Release), Step("charge", Charge, heartbeat_command=heartbeat))
    driver = Driver(Saga("checkout", steps), sagas, lambda: LEASE, services)
    services.errors["charge"] = [NotAttempted("circuit open")]
    services.errors["renew"] = [TypeError("a defect")]
    with capture_logs() as lines:
        driver.drive(begin(driver), max_s=60)
    ended = sagas.get("o1")
    assert ended is not None and ended["ended"] == "done"
    failed = [line for line in lines if line["message"] == "heartbeat command of a saga failed"]
    assert [line["level"].lower() for line in failed] == ["error"]
