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

from chassis.local.child import ready
from tests.system.platform import Shop, eventually
from tests.system.running import free_port


class Twin:
    """Started with the environment of the process whose twin it is, on ports of its own; never armed."""

    def __init__(self, shop: Shop, name: str, kind: str) -> None:
        environment = _environment(shop.process(name, kind)["pid"])
        del environment["LIFELINE_FD"]
        environment["PYTHONPATH"] = environment["PYTHONPATH"].rpartition(os.pathsep)[2]
        port, health_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment |= {"PORT": str(port), "HEALTH_PORT": str(health_port)}
        with (shop.data / "logs" / f"{name}-{kind}-twin.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chassis.cli", kind, name],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._port, self._health_port = port, health_port

    def __enter__(self) -> "Twin":
        eventually(lambda: ready(self._port, self._health_port))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid


@contextmanager
def asleep(shop: Shop, service: str, pid: int) -> Iterator[None]:
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


def _environment(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if pair)
