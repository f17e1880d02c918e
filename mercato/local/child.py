"""One process of the platform: started, probed, restarted after a crash or a change of its code, and ended."""

import os
import signal
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from chassis import clock
from mercato.local import fork_server
from mercato.local.pids import kill_group, start_time

_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 5.0  # before a restart
_STABLE_S = 10.0  # a process that ran for so long starts again with the shortest backoff


@dataclass
class Child:
    """`kind` is web, worker or router; `number` distinguishes replicas.

    `port` serves requests and `health_port` health and metrics; 0 where there is none.
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
    """`start_time` of the process: distinguishes it from a later one with the same pid."""
    _process: BaseProcess | None = field(default=None, repr=False)
    _started_at: float = 0.0
    _restart_at: float = 0.0
    _backoff_s: float = 0.0
    _kill_at: float = 0.0

    @property
    def title(self) -> str:
        if self.kind == "router":
            return self.kind
        return f"{self.name} {self.kind}" + (f" {self.number}" if self.number > 1 else "")

    def start(self, main: fork_server.Main, lifeline_fd: int) -> None:
        """Start the process in a session of its own and append its output to its log."""
        arguments = [self.kind] if self.kind == "router" else [self.kind, self.name]
        self._process = fork_server.start(main, arguments, self.environment, self.log, lifeline_fd, self.log.stem)
        self.pid = self._process.pid or 0
        self.started, self._started_at = start_time(self.pid), clock.monotonic()

    def reap(self) -> str:
        """Return how the process crashed ("by SIGKILL", "with exit code 1") if it just has, else "".

        Kills what is left of its group and schedules the restart.
        """
        if self._process is None:
            return ""
        if self._kill_at and clock.monotonic() >= self._kill_at:
            self.kill()
        if (code := self._process.exitcode) is None:
            return ""
        self.kill()
        self._process = None
        if self._kill_at:  # `restart` ended it
            self._kill_at = self._restart_at = 0.0
            return ""
        stable = clock.monotonic() - self._started_at >= _STABLE_S
        self._backoff_s = _MIN_BACKOFF_S if stable or not self._backoff_s else min(self._backoff_s * 2, _MAX_BACKOFF_S)
        self._restart_at = clock.monotonic() + self._backoff_s
        return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def restart(self, grace_s: float) -> None:
        """Ask the process to finish, kill it after the grace period, and let it be started at once."""
        self._restart_at = 0.0
        if self.is_alive():
            self._kill_at = clock.monotonic() + grace_s
            self.terminate()

    def is_restart_due(self) -> bool:
        """Whether the process is dead and its backoff is over."""
        return self._process is None and clock.monotonic() >= self._restart_at

    def is_alive(self) -> bool:
        return self._process is not None and self._process.exitcode is None

    def terminate(self) -> None:
        """Ask the process to finish."""
        if self.is_alive():
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and whatever it started."""
        kill_group(self.pid)
        if self._process is not None:
            if self.is_alive():  # it may not have a group of its own yet
                self._process.kill()
            self._process.join()

    def to_json(self) -> dict[str, Any]:
        """Return the entry of this process in `run.json`."""
        names = ("name", "kind", "number", "pid", "started", "port", "health_port", "restarts")
        return {name: getattr(self, name) for name in names} | {"log": str(self.log)}
