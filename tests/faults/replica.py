"""A second process of a service beside the platform's own, as a second pod would be; and how to let one sleep."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType

from chassis.settings import from_environment
from mercato.catalog import callers
from mercato.local.child import ready
from mercato.local.ports import HOST
from mercato.local.running_platform import joined
from tests.system.platform import Shop, eventually
from tests.system.running import free_port


class Replica:
    """Started by its own command, as in a pod, with the platform's settings, on ports of its own; never armed."""

    def __init__(self, shop: Shop, name: str, kind: str) -> None:
        port, health_port = free_port(), free_port()
        self.url = f"http://{HOST}:{port}"
        found = joined(from_environment(shop.environment))
        environment = shop.environment | {
            "PYTHONPATH": shop.environment["PYTHONPATH"].rpartition(os.pathsep)[2],
            "HOST": HOST,
            "PORT": str(port),
            "HEALTH_PORT": str(health_port),
            "ADDRESSES": ",".join(f"{name}={address}" for name, address in found.addresses.items()),
            "ALLOWED_CALLERS": ",".join(callers(name)),
            "TRUSTED_PROXIES": HOST,
            "PLATFORM_SECRET": found.platform_secret.get_secret_value(),
        }
        with (shop.data / "logs" / f"{name}-{kind}-twin.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mercato.cli", kind, name],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._port, self._health_port = port, health_port

    def __enter__(self) -> "Replica":
        eventually(lambda: ready(self._port, self._health_port))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid


@contextmanager
def paused(shop: Shop, service: str, pid: int) -> Iterator[None]:
    """A process of this service is stopped inside, at a moment when it holds no lock of an embedded engine's file."""
    databases = () if shop.engines else (shop.data / "store" / f"{service}.db", shop.data / "bus.db")

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: state(pid) == "T")
        if all(_writable(database) for database in databases):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    try:
        eventually(stopped)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state(pid: int) -> str:
    """proc(5): R, S, D, T (stopped), Z ..."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _writable(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0.2, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        db.execute("ROLLBACK")
        return True
