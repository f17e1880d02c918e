"""The demo is what a newcomer runs first: every step has the outcome that it announces."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sizes import by_form
from tests.system.platform import Shop
from tests.system.running import Platform, eventually

pytestmark = pytest.mark.any_engine
TIMEOUT_S = 170.0
"""For a start and two imports on a busy machine."""
STOP_BEFORE_ACCOUNT = """
import os, signal
from mercato.local.launcher import Launcher
write_run = Launcher._write_run
def write_once_and_stop(launcher):
    Launcher._write_run = write_run
    write_run(launcher)
    os.kill(os.getpid(), signal.SIGSTOP)
Launcher._write_run = write_once_and_stop
"""
"""Stops the launcher once its processes have started, before it creates the administrator's account."""


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Shop]:
    """Return a folder in which no platform runs yet; rate limits are on, as they are by default."""
    shop = Shop(tmp_path, RATE_LIMITS=None)
    yield shop
    shop.down()


def play(platform: Platform) -> tuple[int, str]:
    """Return the exit code of the demo and all that it prints."""
    process = platform.begin("demo")
    output, _ = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, output


@pytest.mark.timeout(2 * TIMEOUT_S + 60)
def test_demo_starts_a_platform_and_succeeds_each_time(empty: Shop) -> None:
    """In the short form once: test_readme plays it on a platform that runs and has its catalog."""
    for started in by_form((True,), (True, False)):
        code, output = play(empty)
        assert code == 0 and "✗" not in output, output
        assert ("No platform runs here" in output) is started
        for answer in ("201 confirmed", "202 pending", "402 Payment declined", "409 Insufficient stock"):
            assert f"│ {answer}" in output
    assert json.loads(empty.mercato("status", "--json").stdout)["ready"], "the platform runs on"
    assert not [each for each in empty.guest().items("/api/products") if each["name"] == "Trail kettle"]


@pytest.mark.timeout(2 * TIMEOUT_S + 60)
def test_account_of_the_demo_exists_once_the_status_is_ready_and_without_it_a_step_fails(empty: Shop) -> None:
    def status() -> Any:
        return json.loads(empty.mercato("status", "--json").stdout)

    launcher = empty.begin("up", patch=STOP_BEFORE_ACCOUNT)
    eventually(empty.run, TIMEOUT_S)
    eventually(lambda: all(process["ready"] for process in status()["processes"]), TIMEOUT_S)
    assert not status()["ready"]
    launcher.send_signal(signal.SIGCONT)
    eventually(lambda: status()["ready"], TIMEOUT_S)
    assert empty.admin().account["role"] == "admin"
    account = json.loads((empty.data / "admin.json").read_text())
    (empty.data / "admin.json").write_text(json.dumps(account | {"password": "another"}))
    code, output = play(empty)
    assert code == 1
    assert "The administrator signs in: expected 200, got 401" in output
    assert output.count("✗") == 1


def test_demo_explains_why_no_platform_can_be_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, output = play(Platform(tmp_path, PORT=str(taken.getsockname()[1])))
    assert code == 1
    assert "is taken" in output
