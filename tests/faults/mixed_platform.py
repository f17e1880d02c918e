"""A platform of two releases: of each service one web process and one worker of each, on the same data.

The launcher is that of the present code, and so are the router and the first replica of every service. The second
replica of a mixed service is started from a recorded release, and restarted from it, until the upgrade is finished.
"""

import json
import os
import signal
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

from mercato.local import fork_server
from mercato.local.probes import is_ready
from tests.releases.installed import Release
from tests.system.platform import Shop, eventually

STARTUP_TIMEOUT_S = 100.0
RECOVERY_TIMEOUT_S = 60.0
_CALLERS = (
    "import json; from mercato.catalog import callers, catalog\nprint(json.dumps({n: callers(n) for n in catalog()}))"
)
"""What the launcher of 0.2.0 set as ALLOWED_CALLERS. Later releases name the callers in the commands."""


class MixedShop(Shop):
    """A platform with REPLICAS=2; the second replica of each of `services` is of the release."""

    def __init__(self, folder: Path, release: Release, services: Collection[str], **environment: str | None) -> None:
        super().__init__(folder, REPLICAS="2", **environment)
        self._release, self._services = release, services

    def up(self) -> "MixedShop":
        callers = json.loads(self._release.run(_CALLERS)) if self._release.version == "0.2.0" else {}
        python, code, upgraded = map(str, (self._release.python, self._release.code, self._upgraded))
        arguments = python, code, {name: callers.get(name, []) for name in self._services}, upgraded
        patch = f"from tests.faults import mixed_platform; mixed_platform.replace_second_replicas(*{arguments!r})"
        log = self.folder / "up.log"
        launcher = self.begin("up", "--background", stdout=log, patch=patch)

        def is_ready() -> bool:
            assert launcher.poll() is None, log.read_text()
            return bool(self.run().get("ready"))

        eventually(is_ready, STARTUP_TIMEOUT_S)
        return self

    @property
    def _upgraded(self) -> Path:
        """Return the file whose presence says that no process is started from the release any more."""
        return self.folder / "upgraded"

    def finish_upgrade(self) -> None:
        """Replace the processes of the release, one service after the other, as a rolling upgrade does."""
        self._upgraded.touch()
        for name in self._services:
            old = [each for each in self.processes() if (each["name"], each["number"]) == (name, 2)]
            self.end(signal.SIGTERM, *old)

    def end(self, number: signal.Signals, *processes: dict[str, Any]) -> None:
        """Send a signal that ends these processes, and wait until others have taken their places."""
        pids = {each["health_port"]: each["pid"] for each in processes}
        for pid in pids.values():
            os.kill(pid, number)

        def have_recovered() -> bool:
            now = [each for each in self.processes() if each["health_port"] in pids]
            return all(
                each["pid"] != pids[each["health_port"]] and is_ready(each["port"], each["health_port"]) for each in now
            )

        eventually(have_recovered, RECOVERY_TIMEOUT_S)

    def processes(self) -> list[dict[str, Any]]:
        """Return the entries of all processes but the router; `number` is 1 in the present code, 2 in the release."""
        return [each for each in self.run()["processes"] if each["kind"] != "router"]


class ReleaseProcess:
    """A process of a release, with those parts of multiprocessing's BaseProcess that the launcher uses."""

    def __init__(self, command: list[str], code: str, environment: dict[str, str], log: Path, lifeline_fd: int) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=code,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[lifeline_fd],
                start_new_session=True,
            )
        self.pid, self.kill, self.join = self._process.pid, self._process.kill, self._process.wait

    @property
    def exitcode(self) -> int | None:
        return self._process.poll()


def replace_second_replicas(python: str, code: str, callers: dict[str, list[str]], upgraded: str) -> None:
    """Have the launcher of this process start the second replica of these services from the code of a release.

    From when the file `upgraded` exists, it starts them from the present code.
    """
    start_present = fork_server.start

    def start(main: Any, arguments: list[str], environment: dict[str, str], log: Path, lifeline: int, name: str) -> Any:
        if not name.endswith("-2") or arguments[-1] not in callers or Path(upgraded).exists():
            return start_present(main, arguments, environment, log, lifeline, name)
        own = {"PYTHONPATH": code, "LIFELINE_FD": str(lifeline), "ALLOWED_CALLERS": ",".join(callers[arguments[-1]])}
        command = [python, "-m", "mercato.cli", *arguments]
        return ReleaseProcess(command, code, os.environ | environment | own, log, lifeline)

    fork_server.start = start
