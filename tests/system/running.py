"""A platform started by its command in a folder of its own, for tests to inspect and to break."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from mercato.catalog import catalog
from mercato.local.running_platform import PLACE

ROOT = Path(__file__).resolve().parents[2]
_MIN_POLL_S, _MAX_POLL_S = 0.02, 0.5
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = range(20_000 + _WORKER % 10 * 1_000, 21_000 + _WORKER % 10 * 1_000)
"""Below those that the system gives to outgoing connections; each worker of pytest-xdist has its own."""
_given: set[int] = set()


def eventually(what: Callable[[], Any], within: float = 30.0) -> Any:
    """Return the first true result of `what`. Raises AssertionError if there is none within so many seconds.

    Polls less and less often, so that polling does not slow down what takes long.
    """
    started_at = time.monotonic()
    while not (found := what()):
        waited = time.monotonic() - started_at
        assert waited < within, f"still {found!r} after {within} s"
        time.sleep(min(_MIN_POLL_S + waited / 10, _MAX_POLL_S))
    return found


def free_port(span: int = 1) -> int:
    """Return the first of so many ports of loopback that are free, and that this process did not get before."""
    while True:
        port = secrets.choice(_PORTS)
        ports = range(port, port + span)
        if not _given & set(ports) and all(map(_is_free, ports)):
            _given.update(ports)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def image(folder: Path, service: str, **environment: str | None) -> "Platform":
    """Return a platform of the code that an image of this service holds: its own, and the messages of all."""
    for name in set(catalog()) - {service}:
        (folder / "services" / name).mkdir(parents=True)
        for file in ("__init__.py", "messages.py"):
            (folder / "services" / name / file).symlink_to(ROOT / "services" / name / file)
    for name in ("chassis", "mercato", "charts", "services/__init__.py", f"services/{service}"):
        (folder / name).symlink_to(ROOT / name)
    return Platform(folder, PYTHONPATH=str(folder), **environment)


class Platform:
    """`environment` adds to what the commands inherit; None removes a variable."""

    def __init__(self, folder: Path, **environment: str | None) -> None:
        self.folder = folder
        settings: dict[str, str | None] = {"PORT": "0", "DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT)}
        settings |= {**dict.fromkeys(PLACE), **environment}
        self.environment = {k: v for k, v in (os.environ | settings).items() if v is not None}

    def mercato(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            self._command(*arguments),
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def begin(self, *arguments: str, stdout: Path | None = None, patch: str = "") -> subprocess.Popen[str]:
        """Start the command and leave it running, its output on a pipe or in a file; `patch` is Python run before."""
        command = self._command(*arguments)
        if patch:
            command = [sys.executable, "-c", f"{patch}\nfrom mercato.cli import main\nmain()", *arguments]
        output = stdout.open("w") if stdout else nullcontext(subprocess.PIPE)
        with output as target:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=target,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def up(self) -> "Platform":
        done = self.mercato("up", "--detach")
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def down(self) -> None:
        self.mercato("down")

    def run(self) -> dict[str, Any]:
        path = self.folder / "data" / "run.json"
        return (json.loads(path.read_text()) if path.exists() else None) or {}

    @property
    def port(self) -> int:
        return int(self.run()["processes"][0]["port"])

    def process(self, name: str, kind: str) -> dict[str, Any]:
        return next(p for p in self.run()["processes"] if (p["name"], p["kind"]) == (name, kind))

    def log(self, name: str) -> str:
        return (self.folder / "data" / "logs" / f"{name}.log").read_text()

    @staticmethod
    def _command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "mercato.cli", *arguments]
