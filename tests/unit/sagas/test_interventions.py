"""What an operator does with a blocked saga: retry, abort or skip."""

from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from chassis.errors import OutcomeUnknown
from chassis.messages import Command
from chassis.sagas import Saga, interventions
from chassis.sagas.driver import Driver
from chassis.sagas.interventions import NotAllowed, intervene
from chassis.testing import FakeClock
from mercato.cli import sagas as commands
from tests.unit.sagas.buying import DAY_S, SAGA, Check, FakeServices, driven, resumed


@pytest.fixture
def mercato(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command `mercato sagas` on the sagas of the driver."""
    monkeypatch.setattr(commands, "_drivers", lambda: iter([driver]))
    return lambda *words: CliRunner().invoke(commands.sagas, words)


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
