"""The demo: what a newcomer runs first has to come out as it says, again and again."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.platform import Shop
from tests.system.running import Platform, eventually

PATIENCE = 170.0
"""Seconds for a start and two imports on a busy machine."""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Shop]:
    """A folder in which no platform runs yet; its limits are those of a platform that is just started."""
    shop = Shop(tmp_path, RATE_LIMITS=None)
    yield shop
    shop.down()


def play(platform: Platform) -> tuple[int, str]:
    """The exit code of the demo and all that it prints."""
    process = platform.begin("demo")
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.timeout(2 * PATIENCE + 60)
def test_it_starts_a_platform_where_none_runs_and_comes_out_as_expected_each_time(empty: Shop) -> None:
    for started in (True, False):
        code, said = play(empty)
        assert code == 0 and "✗" not in said, said
        assert ("No platform runs here" in said) is started
        for answer in ("201 confirmed", "202 pending", "402 Payment declined", "409 Insufficient stock"):
            assert f"│ {answer}" in said
    assert json.loads(empty.mercato("status", "--json").stdout)["ready"], "it was left running"
    assert not [each for each in empty.nobody().items("/api/products") if each["name"] == "Trail kettle"]


@pytest.mark.timeout(2 * PATIENCE + 60)
def test_who_waits_until_the_status_is_ready_can_play_it(empty: Shop) -> None:
    def status() -> Any:
        return json.loads(empty.mercato("status", "--json").stdout)

    launcher = empty.begin("up")
    eventually(empty.run)
    launcher.send_signal(signal.SIGSTOP)  # before it has made the administrator's account
    eventually(lambda: all(process["ready"] for process in status()["processes"]), PATIENCE)
    assert not status()["ready"]
    launcher.send_signal(signal.SIGCONT)
    eventually(lambda: status()["ready"], PATIENCE)
    code, said = play(empty)
    assert code == 0, said


@pytest.mark.timeout(PATIENCE + 60)
def test_a_step_that_comes_out_otherwise_is_marked_and_the_exit_code_says_so(empty: Shop) -> None:
    empty.up()
    account = json.loads((empty.data / "admin.json").read_text())
    (empty.data / "admin.json").write_text(json.dumps(account | {"password": "another"}))
    code, said = play(empty)
    assert code == 1
    assert "The administrator signs in: expected 200, got 401" in said
    assert said.count("✗") == 1


def test_where_no_platform_can_be_started_it_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, said = play(Platform(tmp_path, PORT=str(taken.getsockname()[1])))
    assert code == 1
    assert "is taken" in said
