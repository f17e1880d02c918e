"""A second process of a service, as a second pod would be; and pausing of processes."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType

from chassis.settings import Settings
from mercato.local.ports import HOST
from mercato.local.probes import is_ready
from mercato.local.running_platform import platform_settings
from tests.system.platform import Shop, eventually
from tests.system.running import free_port


class Replica:
    """A process with the platform's settings on ports of its own. No crash can be armed in it."""

    def __init__(self, shop: Shop, name: str, kind: str) -> None:
        port, health_port = free_port(), free_port()
        self.url = f"http://{HOST}:{port}"
        found = platform_settings(Settings.from_environment(shop.environment))
        environment = shop.environment | {
            "PYTHONPATH": shop.environment["PYTHONPATH"].rpartition(os.pathsep)[2],
            "HOST": HOST,
            "PORT": str(port),
            "HEALTH_PORT": str(health_port),
            "ADDRESSES": ",".join(f"{name}={address}" for name, address in found.addresses.items()),
            "TRUSTED_PROXIES": HOST,
            "PLATFORM_SECRET": found.platform_secret.get_secret_value(),
        }
        with (shop.data / "logs" / f"{name}-{kind}-replica.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mercato.cli", kind, name],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._port, self._health_port = port, health_port

    def __enter__(self) -> "Replica":
        eventually(lambda: is_ready(self._port, self._health_port))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid


@contextmanager
def paused(shop: Shop, service: str, pid: int) -> Iterator[None]:
    """Stop a process of this service (SIGSTOP) at a moment when it holds no lock on an embedded database file."""
    databases = () if shop.engines else (shop.data / "store" / f"{service}.db", shop.data / "bus.db")

    def is_stopped_without_lock() -> bool:
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: process_state(pid) == "T")
        if all(_is_writable(database) for database in databases):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    try:
        eventually(is_stopped_without_lock)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def process_state(pid: int) -> str:
    """Return the state letter of proc(5): R, S, D, T (stopped), Z ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def child_pids(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_writable(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0.2, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        db.execute("ROLLBACK")
        return True
