"""A `do` that fails by a defect for a minute is blocked, and an operator retries, aborts or skips it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from prometheus_client import REGISTRY

from chassis.calls import outcomes
from chassis.calls.outcomes import RequestRejected, UpstreamDefect
from chassis.errors import DomainError, NotAttempted, OutcomeUnknown
from chassis.messages import Command
from chassis.sagas import Saga, Step, interventions
from chassis.sagas.driver import DUE_INDEX, Driver
from chassis.sagas.interventions import NotAllowed, intervene
from chassis.schema import Schema
from chassis.store import Collection, Doc
from chassis.store.sqlite.store import SqliteStore
from chassis.testing import FakeClock, capture_logs
from mercato.cli import sagas as commands

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


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def driver(tmp_path: Path, services: FakeServices, fake_clock: FakeClock) -> Driver:
    collection = Collection("sagas", DUE_INDEX)
    collection.attach(SqliteStore(tmp_path / "orders.db")).ensure_indexes()
    return Driver(SAGA, collection, lambda: 10.0, services)


@pytest.fixture
def mercato(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command `mercato sagas` on the sagas of the driver."""
    monkeypatch.setattr(commands, "_drivers", lambda: iter([driver]))
    return lambda *words: CliRunner().invoke(commands.sagas, words)


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


DEFECTS = [
    TypeError("a defect"),
    ValueError("a defect"),
    RequestRejected("inventory responded 422 Invalid input", is_invalid=True),
    UpstreamDefect("inventory responded 500"),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("step", ["check", "reserve", "charge", "confirm", "ship"])
def test_do_that_ends_by_a_defect_five_times_is_blocked_and_alerts(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, defect: Exception, step: str
) -> None:
    services.errors[step] = defect
    with capture_logs() as lines:
        doc = driven(driver, fake_clock)
    assert doc["blocked"] and doc["open"] and not doc["undoing"]
    assert SAGA.steps[doc["step"]].name == step
    assert services.count(step) == 11, "one each 6 s of the first minute"
    assert services.count("refund") == services.count("release") == 0
    assert [line["message"] for line in lines].count("saga blocked") == 1
    fake_clock.pass_time(365 * DAY_S)
    assert driver.find_due() == []
    driver._export_metrics()
    of_steps = {
        each.name: REGISTRY.get_sample_value("mercato_saga_blocked", {"saga": "buy", "step": each.name})
        for each in SAGA.steps
    }
    assert of_steps == {each.name: float(each.name == step) for each in SAGA.steps}


@pytest.mark.parametrize("step", ["check", "reserve", "charge", "confirm", "ship"])
def test_burst_of_defects_blocks_nothing(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, step: str
) -> None:
    services.errors[step] = UpstreamDefect("inventory responded 500")
    doc = driver.drive(driver.open("o1", {"order_id": "o1", "token": "tok"}), max_s=50)
    assert (doc["defects"] > 10, doc["blocked"], doc["undoing"]) == (True, False, False)
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "done"


@pytest.mark.parametrize("time_limit_s", [30.0, 60.0])
def test_defect_in_a_step_with_a_short_time_limit_is_compensated(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, time_limit_s: float
) -> None:
    steps = tuple(replace(step, time_limit_s=time_limit_s) if step.name == "reserve" else step for step in SAGA.steps)
    driver.saga = Saga("buy", steps)
    services.errors["reserve"] = UpstreamDefect("inventory responded 500")
    doc = driven(driver, fake_clock)
    assert (doc["ended"], doc["reason"]["kind"], services.count("release")) == ("undone", "timeout", 1)


@pytest.mark.parametrize(
    "failure",
    [OutcomeUnknown("late"), NotAttempted("circuit open"), RequestRejected("inventory responded 401 Unauthenticated")],
    ids=lambda each: str(each),
)
def test_failure_that_may_pass_by_itself_blocks_nothing(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, failure: Exception
) -> None:
    services.errors["confirm"] = failure
    doc = driven(driver, fake_clock, times=50)
    assert doc["open"] and not doc["blocked"] and not doc["undoing"]
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "done"


def test_defects_count_although_other_failures_come_between(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    services.errors["confirm"] = TypeError("a defect")
    driven(driver, fake_clock, times=1)
    services.errors["confirm"] = NotAttempted("circuit open")
    resumed(driver, fake_clock, times=8)
    services.errors["confirm"] = TypeError("a defect")
    doc = resumed(driver, fake_clock)
    assert (doc["blocked"], doc["defects"], doc["attempts"]) == (True, 5, 13)


def test_command_that_needs_a_field_which_the_saga_does_not_have_is_blocked_without_its_secret_in_the_log(
    tmp_path: Path, driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    class ChargeOfLater(Command, name="charge"):
        order_id: str
        token: str
        country: str

    later = Saga("buy", (*SAGA.steps[:2], Step("charge", ChargeOfLater, Refund), *SAGA.steps[3:]), secrets=("token",))
    with capture_logs() as lines:
        doc = driven(Driver(later, driver.collection, lambda: 10.0, services), fake_clock)
    assert doc["blocked"] and services.count("charge") == 0
    assert "'tok'" not in str(lines) and "'tok'" not in str(doc["log"])
    assert doc["data"]["token"] == "tok"


def test_undo_that_ends_by_a_defect_is_never_given_up(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    services.errors |= {"charge": DomainError("declined"), "release": TypeError("a defect")}
    doc = driven(driver, fake_clock, times=60)
    assert doc["undoing"] and doc["open"] and not doc["blocked"] and services.count("release") > 10
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "undone"


def test_retried_saga_goes_on_with_the_same_key_and_a_whole_time_limit(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["reserve"] = TypeError("a defect")
    driven(driver, fake_clock)
    fake_clock.pass_time(DAY_S)
    services.errors["reserve"] = OutcomeUnknown("late")  # at the first attempt; a day is more than the time limit
    assert mercato("retry", "o1", "--reason", "fix deployed").exit_code == 0
    assert not resumed(driver, fake_clock, times=1)["undoing"]
    services.errors.clear()
    doc = resumed(driver, fake_clock)
    assert doc["ended"] == "done"
    assert {key for name, key in services.sent if name == "reserve"} == {"o1:reserve"}
    assert ("retried", "fix deployed") in [(entry["outcome"], entry["detail"]) for entry in doc["log"]]


def test_all_blocked_sagas_are_retried_and_no_other(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["confirm"] = OutcomeUnknown("late")
    driven(driver, fake_clock, "waits", times=1)
    services.errors["check"] = TypeError("a defect")
    for id in ("a", "b"):
        driven(driver, fake_clock, id)
    listed = mercato("list", "--blocked", "--json").stdout
    assert listed.count('"blocked":true') == 2 and "waits" not in listed
    done = mercato("retry", "--blocked", "--reason", "fix deployed")
    assert (done.exit_code, done.stdout) == (0, "a is retried\nb is retried\n")
    assert mercato("list", "--blocked", "--json").stdout == ""


def test_wrong_id_does_not_keep_the_next_sagas_from_their_retry(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["check"] = TypeError("a defect")
    for id in ("a", "b"):
        driven(driver, fake_clock, id)
    done = mercato("retry", "a", "wrong", "b", "--reason", "fix deployed")
    assert (done.exit_code, done.stdout) == (1, "a is retried\nb is retried\n")
    assert "there is no saga 'wrong'" in done.stderr


def test_retried_saga_renews_what_it_holds_before_its_step(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    steps = tuple(replace(step, heartbeat_command=Check if step.name == "charge" else None) for step in SAGA.steps)
    driver.saga = Saga("buy", steps)
    services.errors["charge"] = TypeError("a defect")
    driven(driver, fake_clock)
    driver.collection.update("o1", {"$set": {"data.renew_after_ms": 600_000}})
    fake_clock.pass_time(DAY_S)
    sent = len(services.sent)
    assert mercato("retry", "o1", "--reason", "fix deployed").exit_code == 0
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "done"
    assert [name for name, _ in services.sent[sent:]] == ["check", "charge", "confirm", "ship"]


@pytest.mark.parametrize("limit", ["no_skip_after", "no_abort_after"])
def test_limit_of_interventions_names_a_step(limit: str) -> None:
    with pytest.raises(TypeError, match="buy has no step chrage"):
        Saga("buy", SAGA.steps, **{limit: "chrage"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("step", "undone"),
    [
        ("check", []),
        ("reserve", ["release"]),
        ("charge", ["refund", "release"]),
        ("confirm", ["release", "refund", "release"]),
    ],
)
def test_aborted_saga_is_compensated(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any, step: str, undone: list[str]
) -> None:
    services.errors[step] = TypeError("a defect")
    driven(driver, fake_clock)
    sent = len(services.sent)
    assert mercato("abort", "o1", "--reason", "the buyer asked for it").exit_code == 0
    doc = resumed(driver, fake_clock)
    assert (doc["ended"], doc["reason"]["kind"], "token" in doc["data"]) == ("undone", "aborted", False)
    assert [name for name, _ in services.sent[sent:]] == undone
    assert "the buyer asked for it" in str(doc["log"]) and "the buyer" not in str(doc["reason"])


def test_abort_is_refused_once_stock_is_confirmed(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["ship"] = TypeError("a defect")
    before = driven(driver, fake_clock)
    done = mercato("abort", "o1", "--reason", "no")
    assert done.exit_code == 1 and "cannot be aborted after confirm" in done.stderr
    assert resumed(driver, fake_clock) == before


def test_first_step_is_aborted_only_while_it_is_blocked(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["check"] = OutcomeUnknown("late")
    before = driven(driver, fake_clock, times=1)
    done = mercato("abort", "o1", "--reason", "no")
    assert done.exit_code == 1 and "Its first step is neither done nor blocked" in done.stderr
    assert driver.collection.get("o1") == before
    services.errors["check"] = TypeError("a defect")
    assert resumed(driver, fake_clock)["blocked"]
    assert mercato("abort", "o1", "--reason", "no").exit_code == 0
    assert resumed(driver, fake_clock)["ended"] == "undone"


def test_step_before_the_payment_without_a_compensation_is_skipped(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["check"] = TypeError("a defect")
    driven(driver, fake_clock)
    sent = services.count("check")
    assert mercato("skip", "o1", "--reason", "checked by hand").exit_code == 0
    doc = resumed(driver, fake_clock)
    assert doc["ended"] == "done" and services.count("check") == sent
    assert ("check", "skipped", "checked by hand") in [(e["step"], e["outcome"], e["detail"]) for e in doc["log"]]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("reserve", "has a compensation"),
        ("charge", "has a compensation"),
        ("confirm", "has a compensation"),
        ("ship", "No step after charge"),
    ],
)
def test_no_other_step_is_skipped(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any, step: str, why: str
) -> None:
    services.errors[step] = TypeError("a defect")
    before = driven(driver, fake_clock)
    done = mercato("skip", "o1", "--reason", "no")
    assert done.exit_code == 1 and why in done.stderr
    assert resumed(driver, fake_clock) == before


def test_what_is_not_blocked_is_neither_retried_nor_skipped(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any
) -> None:
    services.errors["check"] = OutcomeUnknown("late")
    driven(driver, fake_clock, times=1)
    for command in ("retry", "skip"):
        assert mercato(command, "o1", "--reason", "no").exit_code == 1
    services.errors.clear()
    assert resumed(driver, fake_clock)["ended"] == "done"
    for command in ("retry", "abort", "skip"):
        done = mercato(command, "o1", "--reason", "no")
        assert done.exit_code == 1 and "has ended done" in done.stderr


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\x1b[31m"], ids=repr)
@pytest.mark.parametrize("command", ["retry", "abort", "skip"])
def test_intervention_needs_a_reason_in_one_line(
    driver: Driver, services: FakeServices, fake_clock: FakeClock, mercato: Any, command: str, reason: str
) -> None:
    services.errors["check"] = TypeError("a defect")
    before = driven(driver, fake_clock)
    assert mercato(command, "o1", "--reason", reason).exit_code == 2
    assert mercato(command, "o1").exit_code == 2
    assert driver.collection.get("o1") == before


def test_driver_that_holds_an_aborted_saga_writes_nothing_any_more(
    driver: Driver, services: FakeServices, fake_clock: FakeClock
) -> None:
    def send(command: Command, key: str) -> object:
        if command.name == "charge":
            intervene(driver, "o1", interventions.abort, "aborted", "fraud")
        return services(command, key)

    Driver(SAGA, driver.collection, lambda: 10.0, send).drive(driver.open("o1", {"order_id": "o1", "token": "tok"}))
    doc = resumed(driver, fake_clock)
    assert doc["ended"] == "undone"
    assert services.count("confirm") == 0 and services.count("refund") == 1
    with pytest.raises(NotAllowed, match="has ended undone"):
        intervene(driver, "o1", interventions.abort, "aborted", "fraud")


@pytest.mark.parametrize(
    ("status", "is_invalid"), [(400, True), (413, True), (415, True), (422, True), (401, False), (403, False)]
)
def test_request_that_a_service_cannot_read_is_told_from_one_that_it_does_not_allow(
    status: int, is_invalid: bool
) -> None:
    response = requests.Response()
    response.status_code, response._content = status, b'{"type": "/problems/invalid", "title": "Invalid input"}'
    with pytest.raises(RequestRejected) as caught:
        outcomes.read("inventory", response)
    assert caught.value.is_invalid is is_invalid
