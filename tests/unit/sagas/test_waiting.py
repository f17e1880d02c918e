"""A step that waits for a person: no lease, nothing polls; hints, the end of the time, and the heartbeats meanwhile."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from chassis import clock
from chassis.errors import DomainError, NotAttempted
from chassis.messages import Command
from chassis.sagas import Done, Saga, Step, Waiting, interventions
from chassis.sagas.driver import Driver
from chassis.sagas.waiting import UserAction, age_s
from chassis.schema import Schema
from chassis.store import Collection, Doc
from chassis.testing import FakeClock
from tests.unit.sagas.buying import DAY_S, Refund, Release

LEASE_S, RENEW_AFTER_S, WAITS_S = 10.0, 400.0, 600.0


class Reserve(Command):
    order_id: str

    class Reply(Schema):
        renew_after_ms: int


class Renew(Command):
    order_id: str

    class Reply(Schema):
        renew_after_ms: int


class Pay(Command):
    order_id: str

    class Reply(Schema):
        payment_id: str
        action: UserAction | None = None


class Unwanted(DomainError):
    """The order is not wanted any more."""


class Bank:
    """Services of which `pay` waits for the buyer, until that answers."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answer: Exception | None = None
        self.answered, self.wanted, self.until = False, True, ""
        self.during: Callable[[], None] = lambda: None

    def __call__(self, command: Command, key: str) -> object:
        self.sent.append(command.name)
        if isinstance(command, Reserve | Renew):
            return command.Reply(renew_after_ms=int(RENEW_AFTER_S * 1000))
        if not isinstance(command, Pay):
            return None
        reply = self._pay()
        self.during()
        return reply

    def _pay(self) -> Pay.Reply:
        if self.answer:
            raise self.answer
        self.until = self.until or clock.timestamp_in(WAITS_S)
        action = UserAction(type="redirect", url="https://bank.example", until=self.until)
        return Pay.Reply(payment_id="p1", action=None if self.answered else action)

    def require_wanted(self, data: dict[str, object]) -> None:
        if not self.wanted:
            raise Unwanted


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def driver(sagas: Collection, bank: Bank, fake_clock: FakeClock) -> Driver:
    pay = Step("pay", Pay, Refund, heartbeat_command=Renew, before_waiting=bank.require_wanted)
    return Driver(Saga("wait", (Step("reserve", Reserve, Release), pay)), sagas, lambda: LEASE_S, bank)


def waiting(driver: Driver) -> Doc:
    doc = driver.drive(driver.open("o1", {"order_id": "o1"}))
    assert doc["waiting"] and doc["open"]
    return doc


def resume_due(driver: Driver, fake_clock: FakeClock) -> Doc:
    fake_clock.pass_time(0.001)
    for doc in driver.find_due():
        driver.resume(doc)
    return driver.collection.get("o1") or {}


def test_waiting_saga_has_no_lease_and_is_not_attempted_before_its_heartbeat(
    driver: Driver, bank: Bank, fake_clock: FakeClock
) -> None:
    waiting(driver)
    fake_clock.pass_time(RENEW_AFTER_S - 1)
    assert driver.find_due() == [] and bank.sent == ["reserve", "pay"]
    fake_clock.pass_time(2)
    assert resume_due(driver, fake_clock)["waiting"]
    assert bank.sent == ["reserve", "pay", "renew", "pay"], "the stock stays reserved"
    fake_clock.pass_time(WAITS_S - RENEW_AFTER_S - 5)
    assert driver.find_due() == []


def test_hint_makes_a_waiting_saga_ask_at_once(driver: Driver, bank: Bank, fake_clock: FakeClock) -> None:
    waiting(driver)
    fake_clock.pass_time(30)
    driver.hint("o1")
    assert resume_due(driver, fake_clock)["waiting"], "the hint itself decides nothing"
    bank.answered = True
    for _ in range(2):
        driver.hint("o1")
    doc = resume_due(driver, fake_clock)
    assert (doc["ended"], doc["waiting"], doc["waitedMs"] // 100) == ("done", None, 300)
    driver.hint("o1")
    assert driver.collection.get("o1") == doc and bank.sent.count("pay") == 3
    driver.hint("unknown")


def test_hint_that_comes_while_the_driver_asks_is_not_lost(driver: Driver, bank: Bank) -> None:
    def approve_meanwhile() -> None:
        bank.during = lambda: None
        bank.answered = True
        driver.hint("o1")

    bank.during = approve_meanwhile
    doc = driver.drive(driver.open("o1", {"order_id": "o1"}))
    assert doc["ended"] == "done" and bank.sent.count("pay") == 2


def test_hint_for_a_saga_that_a_driver_holds_lets_no_other_claim_it(driver: Driver, fake_clock: FakeClock) -> None:
    held = driver.open("o1", {"order_id": "o1"})
    driver.hint("o1")
    fake_clock.pass_time(1)
    assert driver.find_due() == []
    assert driver.drive(held)["waiting"]


def test_saga_that_would_wait_beyond_its_time_is_compensated_from_that_step_on(
    driver: Driver, bank: Bank, fake_clock: FakeClock
) -> None:
    waiting(driver)
    fake_clock.pass_time(WAITS_S + 1)
    doc = resume_due(driver, fake_clock)
    assert (doc["ended"], doc["reason"]["kind"]) == ("undone", "timeout")
    assert bank.sent[-3:] == ["pay", "refund", "release"], "asked once more, then undone"


def test_answer_in_the_last_moment_counts(driver: Driver, bank: Bank, fake_clock: FakeClock) -> None:
    waiting(driver)
    fake_clock.pass_time(WAITS_S + 1)
    bank.answered = True
    assert resume_due(driver, fake_clock)["ended"] == "done" and "refund" not in bank.sent


def test_refusal_compensates_the_steps_before(driver: Driver, bank: Bank, fake_clock: FakeClock) -> None:
    waiting(driver)
    bank.answer = DomainError("refused")
    driver.hint("o1")
    assert resume_due(driver, fake_clock)["ended"] == "undone"
    assert bank.sent[-2:] == ["pay", "release"]


def test_saga_that_is_not_wanted_any_more_does_not_wait(driver: Driver, bank: Bank, fake_clock: FakeClock) -> None:
    waiting(driver)
    bank.wanted = False
    driver.hint("o1")
    doc = resume_due(driver, fake_clock)
    assert (doc["ended"], doc["reason"]["kind"]) == ("undone", "unwanted")
    assert bank.sent[-2:] == ["refund", "release"]


def test_driver_that_dies_while_it_asks_leaves_a_saga_that_waits_again(
    driver: Driver, bank: Bank, fake_clock: FakeClock
) -> None:
    waiting(driver)
    driver.hint("o1")
    claimed = driver.claim(driver.collection.get("o1") or {})  # and dies
    assert claimed is not None and not claimed["waiting"] and driver.find_due() == []
    fake_clock.pass_time(LEASE_S + 1)
    assert resume_due(driver, fake_clock)["waiting"]
    assert driver.drive(claimed)["fence"] > claimed["fence"], "the dead one comes back, and writes nothing"


def test_service_that_is_down_after_the_wait_has_the_whole_time_limit(
    driver: Driver, bank: Bank, fake_clock: FakeClock
) -> None:
    waiting(driver)
    bank.answer = NotAttempted("circuit open")
    for _ in range(200):
        fake_clock.pass_time(6)
        if (doc := resume_due(driver, fake_clock))["ended"]:
            break
    assert (doc["ended"], doc["reason"]["kind"]) == ("undone", "timeout")
    assert bank.sent.count("refund") == 1, "the buyer may have paid"
    assert clock.seconds_since(doc["openedAt"]) > RENEW_AFTER_S + 600


def test_time_of_waiting_is_not_the_age_of_the_saga_unless_it_is_overdue(
    driver: Driver, bank: Bank, fake_clock: FakeClock
) -> None:
    def exported(name: str) -> float | None:
        driver.export_gauges()
        return REGISTRY.get_sample_value(f"mercato_{name}", {"saga": "wait", "step": "pay"})

    waiting(driver)
    fake_clock.pass_time(300)
    assert (exported("saga_waiting"), exported("saga_open"), exported("saga_oldest_age_seconds")) == (1, 1, 0)
    fake_clock.pass_time(WAITS_S - 300 + 55)
    assert exported("saga_oldest_age_seconds") == 0
    fake_clock.pass_time(10)
    assert exported("saga_oldest_age_seconds") == pytest.approx(WAITS_S + 65, abs=1), "nobody looks after it"
    bank.answered = True
    resume_due(driver, fake_clock)
    assert (exported("saga_waiting"), exported("saga_open")) == (0, 0)
    assert age_s(driver.collection.get("o1") or {}) == pytest.approx(0, abs=1)


def test_operator_can_abort_a_waiting_saga_or_have_it_ask(driver: Driver, bank: Bank, fake_clock: FakeClock) -> None:
    waiting(driver)
    interventions.intervene(driver, "o1", interventions.retry, "retried", "asked by the buyer")
    assert resume_due(driver, fake_clock)["waiting"] and bank.sent.count("pay") == 2
    interventions.intervene(driver, "o1", interventions.abort, "aborted", "asked by the buyer")
    doc = resume_due(driver, fake_clock)
    assert (doc["ended"], doc["reason"]["kind"]) == ("undone", "aborted") and bank.sent[-2:] == ["refund", "release"]


def test_saga_that_waits_and_went_on_in_a_release_that_knows_no_waiting_ends(
    driver: Driver, bank: Bank, fake_clock: FakeClock
) -> None:
    """0.2.0 keeps the fields that it does not know: `waiting` stays in the document."""
    doc = waiting(driver)
    reason = {"kind": "timeout", "title": "", "detail": "", "extra": {}}
    earlier = {"step": 0, "undoing": True, "due": clock.timestamp_in(5), "reason": reason}
    driver.collection.update("o1", {"$set": earlier, "$inc": {"fence": 1}})
    driver.hint("o1")
    fake_clock.pass_time(6)
    assert resume_due(driver, fake_clock)["ended"] == "undone" and bank.sent[-1] == "release"
    assert doc["waiting"] and not (driver.collection.get("o1") or {})["waiting"]


def test_play_of_a_saga_that_waits() -> None:
    saga = Saga("wait", (Step("pay", lambda data: None, lambda data: None),))
    until = clock.timestamp_in(DAY_S)
    run = saga.given().expects("pay").replies(Waiting(until)).waits("pay", until=until)
    run.expects("pay").replies(Done()).ends("done")
    with pytest.raises(AssertionError, match="does not wait"):
        saga.given().waits("pay", until=until)
    saga.given().expects("pay").replies(Waiting(clock.timestamp())).expects_undo("pay", because="timeout")
