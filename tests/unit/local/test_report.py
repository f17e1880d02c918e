"""The report of `mercato status`: why a process is not ready, which store takes no write, what needs an operator."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from chassis.observe import metrics
from chassis.observe.health import Health
from chassis.settings import Settings
from chassis.store import StoreUnavailable
from mercato.cli.status import status
from mercato.local import report as module
from mercato.local.pids import start_time, stopped_groups
from mercato.local.report import DEAD, STOPPED, report
from mercato.settings import LauncherSettings
from tests.system.running import eventually, free_port


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own that does nothing."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    yield child
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


@pytest.fixture
def health() -> Health:
    found = Health("orders", lambda: None)
    found.started = True
    return found


@pytest.fixture
def found(
    tmp_path: Path, process: subprocess.Popen[bytes], health: Health, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], dict[str, Any]]]:
    """Return a function that reports a platform of one worker, with this process as its launcher."""
    _zero_gauges()
    port = free_port()
    health.serve("127.0.0.1", port)
    worker = {"name": "orders", "kind": "worker", "number": 1, "pid": process.pid, "started": start_time(process.pid)}
    worker |= {"port": 0, "health_port": port, "restarts": 0, "log": "orders-worker.log"}
    run = {"url": "http://127.0.0.1:1", "pid": os.getpid(), "started": start_time(os.getpid()), "ready": True}
    (tmp_path / "format.json").write_bytes(orjson.dumps({"format": 2}))
    (tmp_path / "run.json").write_bytes(orjson.dumps({**run, "engines": {}, "processes": [worker]}))
    own = Settings.from_environment({"DATA_DIR": str(tmp_path)})
    monkeypatch.setattr(module, "store_settings", lambda: own)
    launcher = LauncherSettings.from_environment({"DATA_DIR": str(tmp_path)})
    monkeypatch.setattr("mercato.cli.status.settings", lambda: launcher)

    def get() -> dict[str, Any]:
        found = report(tmp_path)
        assert found
        return found

    yield get
    _zero_gauges()


def _zero_gauges() -> None:
    """Forget what this or another test of this process has set."""
    for gauges in (metrics.breaker_state, metrics.sagas_open, metrics.saga_oldest, metrics.set_aside):
        for gauge in gauges.values():
            gauge.set(0)
    metrics.dead_letters.set(0)


def test_ready_platform_is_ready_and_its_store_takes_a_write(found: Any, tmp_path: Path) -> None:
    run = found()
    assert (run["ready"], run["processes"][0]["state"], run["writes"]) == (True, "ready", {"orders": "ready"})
    with closing(sqlite3.connect(tmp_path / "store" / "orders.db")) as db:
        assert db.execute("SELECT count(*) FROM write_probe").fetchone() == (1,)
    found()
    with closing(sqlite3.connect(tmp_path / "store" / "orders.db")) as db:
        assert db.execute("SELECT count(*) FROM write_probe").fetchone() == (1,), "it leaves one document"


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"started": False}, "starting"),
        ({"draining": True}, "draining"),
        ({"crash_looping": lambda: ["relay"]}, "restarting over and over: relay"),
    ],
)
def test_process_that_is_not_ready_says_why(found: Any, health: Health, change: dict[str, Any], state: str) -> None:
    for name, value in change.items():
        setattr(health, name, value)
    run = found()
    assert (run["ready"], run["processes"][0]["ready"], run["processes"][0]["state"]) == (False, False, state)


def test_store_that_a_process_cannot_read_is_named(found: Any, health: Health) -> None:
    def check() -> None:
        raise StoreUnavailable("down")

    health._check = check
    assert found()["processes"][0]["state"] == "store unavailable"


def test_stopped_process_is_not_waited_for_nor_is_what_it_holds(
    found: Any, process: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 600.0)  # whoever waits for the process fails the test
    assert found()["ready"]
    os.killpg(process.pid, signal.SIGSTOP)
    eventually(lambda: process.pid in stopped_groups())
    with closing(sqlite3.connect(tmp_path / "store" / "orders.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        run = found()
    assert (run["processes"][0]["state"], run["writes"]) == (STOPPED, {"orders": "no answer within 0.3 s"})
    assert run["unknown"] == ["orders"], "its worker has not said what it knows"
    shown = CliRunner().invoke(status)
    assert (shown.exit_code, f"kill -KILL -- -{process.pid}" in shown.output) == (1, True)
    os.killpg(process.pid, signal.SIGCONT)
    eventually(lambda: process.pid not in stopped_groups())
    assert found()["ready"]


def test_dead_process_and_silent_one_are_distinguished(
    found: Any, process: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    run = orjson.loads((tmp_path / "run.json").read_bytes())
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        run["processes"][0]["health_port"] = silent.getsockname()[1]
        (tmp_path / "run.json").write_bytes(orjson.dumps(run))
        assert found()["processes"][0]["state"] == "no answer"
    run["processes"][0]["started"] = "another process had this pid"
    (tmp_path / "run.json").write_bytes(orjson.dumps(run))
    assert found()["processes"][0]["state"] == DEAD


def test_circuits_sagas_and_dead_letters_are_shown_and_change_no_exit_code(found: Any) -> None:
    metrics.breaker_state["payments"].set(2)
    metrics.sagas_open["checkout", "take payment"].set(3)
    metrics.saga_oldest["checkout", "take payment"].set(720)
    metrics.sagas_open["checkout", "reserve stock"].set(3)
    metrics.saga_oldest["checkout", "reserve stock"].set(299)
    metrics.dead_letters.set(4)
    metrics.set_aside["accounts"].set(2)
    shown = CliRunner().invoke(status)
    assert shown.exit_code == 0
    assert "circuit open: orders worker to payments" in shown.output
    assert "sagas of orders: 3 at take payment, the oldest for 12 min" in shown.output
    assert "reserve stock" not in shown.output, "it is not old"
    assert "dead letters of orders: 4: see mercato dlq list --service orders" in shown.output
    assert "set aside in orders: 2: see mercato outbox --set-aside --service orders" in shown.output
    _zero_gauges()
    assert "no circuit is open" in CliRunner().invoke(status).output


def test_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = LauncherSettings.from_environment({"DATA_DIR": str(tmp_path)})
    monkeypatch.setattr("mercato.cli.status.settings", lambda: launcher)
    shown = CliRunner().invoke(status)
    assert (shown.exit_code, shown.stdout) == (1, "") and "start it with `mercato up`" in shown.stderr
    assert CliRunner().invoke(status, ["--json"]).stdout == "null\n"
