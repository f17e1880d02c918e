"""A saga of five steps and the services that it calls, for the tests of defects and of interventions."""

from chassis.messages import Command
from chassis.sagas import Saga, Step
from chassis.sagas.driver import Driver
from chassis.schema import Schema
from chassis.store import Doc
from chassis.testing import FakeClock

DAY_S = 86_400.0


class Check(Command):
    order_id: str


class Reserve(Command):
    order_id: str


class Release(Command):
    order_id: str


class Charge(Command):
    order_id: str
    token: str

    class Reply(Schema):
        payment_id: str


class Refund(Command):
    order_id: str


class Confirm(Command):
    order_id: str
    payment_id: str


class Ship(Command):
    order_id: str


SAGA = Saga(
    "buy",
    (
        Step("check", Check),
        Step("reserve", Reserve, Release, time_limit_s=90),
        Step("charge", Charge, Refund),
        Step("confirm", Confirm, Release, time_limit_s=None),
        Step("ship", Ship, time_limit_s=None),
    ),
    secrets=("token",),
    no_skip_after="charge",
    no_abort_after="confirm",
)


class FakeServices:
    """Services of which the one of a command fails with the error in `errors` until that is removed."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.errors: dict[str, Exception] = {}

    def __call__(self, command: Command, key: str) -> object:
        self.sent.append((command.name, key))
        if command.name in self.errors:
            raise self.errors[command.name]
        return Charge.Reply(payment_id="p1") if command.name == "charge" else None

    def count(self, name: str) -> int:
        return [sent for sent, _ in self.sent].count(name)


def driven(driver: Driver, fake_clock: FakeClock, id: str = "o1", times: int = 20) -> Doc:
    """Open a saga, resume it whenever it is due, `times` at most, and return its document."""
    driver.drive(driver.open(id, {"order_id": id, "token": "tok"}))
    return resumed(driver, fake_clock, id, times)


def resumed(driver: Driver, fake_clock: FakeClock, id: str = "o1", times: int = 20) -> Doc:
    for _ in range(times):
        fake_clock.pass_time(6)
        for doc in driver.find_due():
            driver.resume(doc)
    found = driver.collection.get(id)
    assert found is not None
    return found
