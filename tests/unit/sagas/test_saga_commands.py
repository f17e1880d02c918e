"""What an operator sees of sagas: `mercato sagas list` and `show`."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from chassis.errors import OutcomeUnknown
from chassis.sagas.driver import Driver
from chassis.testing import FakeClock
from mercato.cli import sagas as commands
from tests.unit.sagas.buying import FakeServices, driven


@pytest.fixture
def mercato(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command `mercato sagas` on the sagas of the driver; returns (exit code, output, errors)."""
    monkeypatch.setattr(commands, "_drivers", lambda: iter([driver]))

    def run(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(commands.sagas, words)
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def shop(driver: Driver, services: FakeServices, fake_clock: FakeClock) -> None:
    """Sagas of a shop: one has ended, one waits at its second step, one is undone, one waits at its third step."""
    driven(driver, fake_clock, "ended", times=1)
    services.errors |= {"charge": OutcomeUnknown("late"), "refund": OutcomeUnknown("late")}
    driven(driver, fake_clock, "charge-undone", times=110)
    driven(driver, fake_clock, "charge-late", times=1)
    services.errors = {"reserve": OutcomeUnknown("late")}
    driver.drive(driver.open("reserve-late", {"order_id": "r", "token": "tok"}))


def ids(mercato: Any, *words: str) -> set[str]:
    code, output, _ = mercato("list", "--json", *words)
    assert code == 0
    return {json.loads(line)["id"] for line in output.splitlines()}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], {"charge-undone", "charge-late", "reserve-late"}),
        (["--all"], {"ended", "charge-undone", "charge-late", "reserve-late"}),
        (["--step", "charge"], {"charge-undone", "charge-late"}),
        (["--undoing"], {"charge-undone"}),
        (["--step", "undo charge"], {"charge-undone"}),
        (["--step", "reserve", "--undoing"], set()),
        (["--older-than", "5m"], {"charge-undone"}),
        (["--older-than", "5m", "--step", "reserve"], set()),
        (["--blocked"], set()),
    ],
)
def test_list_shows_the_sagas_that_match_every_option(
    shop: None, mercato: Any, words: list[str], found: set[str]
) -> None:
    assert ids(mercato, *words) == found


def test_list_names_step_and_service_and_sums_up(shop: None, mercato: Any) -> None:
    _, output, _ = mercato("list")
    assert [line.split()[:4] for line in output.splitlines() if line.split()[:1] == ["charge-undone"]] == [
        ["charge-undone", "undo", "charge", "sagas"]
    ]
    assert output.splitlines()[-1].startswith("3 sagas, the oldest open one for 11 min: 1 at ")
    assert "1 at undo charge" in output and output.endswith("; none blocked\n")
    assert "sagas," not in mercato("list", "--json")[1]


def test_unknown_step_is_rejected_with_the_known_ones(shop: None, mercato: Any) -> None:
    code, output, errors = mercato("list", "--step", "chargee")
    assert (code, output) == (2, "") and "there are check, reserve, charge, confirm, ship" in errors


def test_saga_is_found_by_the_beginning_of_its_id_if_no_other_begins_so(shop: None, mercato: Any) -> None:
    assert json.loads(mercato("show", "charge-l")[1])["_id"] == "charge-late"
    code, output, errors = mercato("show", "charge-")
    assert (code, output) == (1, "") and "name one of them: charge-late, charge-undone" in errors
    assert mercato("show", "charge-late-and-more")[0] == mercato("show", "")[0] == 1
    code, output, _ = mercato("abort", "charge-l", "--reason", "a test")
    assert (code, output) == (0, "charge-late is aborted\n")


def test_whole_id_is_meant_even_if_others_begin_so(driver: Driver, mercato: Any, services: FakeServices) -> None:
    services.errors["check"] = OutcomeUnknown("late")
    for id in ("o", "o1", "o11"):
        driver.open(id, {"order_id": id, "token": "tok"})
    assert json.loads(mercato("show", "o1")[1])["_id"] == "o1"


def test_show_names_the_steps_with_their_services_and_no_secret(shop: None, mercato: Any) -> None:
    saga = json.loads(mercato("show", "charge-undone", "--json")[1])
    assert (saga["at"], saga["service"], saga["step"]) == ("undo charge", "sagas", 2)
    assert [(step["step"], step["service"], step["outcome"]) for step in saga["steps"]] == [
        ("check", "sagas", "done"),
        ("reserve", "sagas", "done"),
        ("charge", "sagas", "undo failed"),
        ("confirm", "sagas", ""),
        ("ship", "sagas", ""),
    ]
    assert "token" not in saga["data"]


def test_show_is_readable_on_a_terminal(shop: None, mercato: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "is_terminal", lambda: True)
    _, output, _ = mercato("show", "charge-undone")
    assert output.startswith("buy charge-undone is at undo charge (sagas), ")
    assert "it is undone because of " in output and "tok" not in output
    assert [line.split()[:2] for line in output.splitlines() if "▶" in line] == [["▶", "charge"]]
    assert "buy ended has ended done" in mercato("show", "ended")[1]


def test_list_and_show_say_which_sagas_wait_for_a_person(driver: Driver, mercato: Any) -> None:
    for id in ("at-bank", "elsewhere"):
        driver.open(id, {"order_id": id, "token": "tok"})
    until = "2030-01-01T00:10:00.000Z"
    driver.collection.update("at-bank", {"$set": {"waiting": {"since": "2030-01-01T00:00:00.000Z", "until": until}}})
    listed = mercato("list", "--waiting", "--json")[1]
    assert listed.count("\n") == 1 and json.loads(listed)["waitingUntil"] == until
    assert json.loads(mercato("show", "at-bank", "--json")[1])["waitingUntil"] == until
    assert json.loads(mercato("show", "elsewhere", "--json")[1])["waitingUntil"] == ""
