"""One process of the platform: started, asked whether it is ready, restarted when it dies, ended."""

import http.client
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from chassis import clock
from mercato.local import forked
from mercato.local.ports import HOST

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # seconds before a restart
_STEADY = 10.0  # seconds after which a process no longer counts as one that keeps dying


@dataclass
class Child:
    """`kind` is web, worker or router; `number` tells replicas apart.

    `port` is where it serves, `health_port` where it tells how it is; or 0.
    """

    name: str
    kind: str
    environment: dict[str, str]
    log: Path
    number: int = 1
    port: int = 0
    health_port: int = 0
    restarts: int = 0
    pid: int = 0
    started: str = ""
    """When the process began, as the machine names it: tells it from a later one of the same pid."""
    _process: BaseProcess | None = field(default=None, repr=False)
    _since: float = 0.0
    _again: float = 0.0
    _pause: float = 0.0

    @property
    def title(self) -> str:
        if self.kind == "router":
            return self.kind
        return f"{self.name} {self.kind}" + (f" {self.number}" if self.number > 1 else "")

    def start(self, lifeline_fd: int) -> None:
        """Start the process in a session of its own, its output appended to its log."""
        command = [self.kind] if self.kind == "router" else [self.kind, self.name]
        self._process = forked.start(self.log.stem, command, self.environment, self.log, lifeline_fd)
        self.pid = self._process.pid or 0
        self.started, self._since = born(self.pid), clock.monotonic()

    def died(self) -> str:
        """How it died ("by SIGKILL", "with exit code 1") when it just has, else "". What is left of it is killed."""
        if self._process is None or (code := self._process.exitcode) is None:
            return ""
        self.kill()
        self._process = None
        steady = clock.monotonic() - self._since >= _STEADY
        self._pause = _FIRST_PAUSE if steady or not self._pause else min(self._pause * 2, _LONGEST_PAUSE)
        self._again = clock.monotonic() + self._pause
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def due(self) -> bool:
        """Whether it is dead and the pause before its restart is over."""
        return self._process is None and clock.monotonic() >= self._again

    def alive(self) -> bool:
        return self._process is not None and self._process.exitcode is None

    def terminate(self) -> None:
        """Ask it to finish."""
        if self.alive():
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and whatever it started."""
        kill_group(self.pid)
        if self._process is not None:
            if self.alive():  # it may not have come to a group of its own yet
                self._process.kill()
            self._process.join()

    def record(self) -> dict[str, Any]:
        """What `run.json` says of it."""
        names = ("name", "kind", "number", "pid", "started", "port", "health_port", "restarts")
        return {name: getattr(self, name) for name in names} | {"log": str(self.log)}


def ready(port: int, health_port: int, patience: float = 0.5) -> bool:
    """Whether the process answers: a service's on its health port that it is ready, the router anything at all."""
    status, _ = _asked(health_port or port, "/readyz", patience)
    return status == 200 or (status > 0 and not health_port)


def lag(health_port: int, patience: float) -> int | None:
    """How many events wait to be consumed by this worker; None where it consumes none, or does not answer."""
    _, text = _asked(health_port, "/metrics", patience)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = families["mercato_consumer_lag"].samples if "mercato_consumer_lag" in families else []
    return round(sum(sample.value for sample in samples)) if samples else None


def _asked(port: int, path: str, patience: float) -> tuple[int, str]:
    """(status, body) of a GET; (0, "") where nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=patience)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def born(pid: int) -> str:
    """When the process of this pid began, "" when there is none."""
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if state in "ZX" else fields[18]  # proc(5): starttime, in ticks since boot
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  a number and our own words
    return answer.stdout.strip()


def kill_group(pid: int) -> None:
    """SIGKILL to a session's whole group; none left is as good."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # the latter is what macOS says of a group of zombies
        return
