"""A platform started as a person starts it, in a folder of its own, for tests to look at and to break."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mercato.catalog import catalog
from mercato.local.running_platform import ENGINES

ROOT = Path(__file__).resolve().parents[2]
_SHORTEST, _LONGEST = 0.02, 0.5  # seconds between two questions of `eventually`
_LOWEST = 20_000
_given: set[int] = set()


def eventually(what: Callable[[], Any], within: float = 20.0) -> Any:
    """The first true answer of `what`; an AssertionError when there is none in that many seconds.

    It asks ever less often: what takes long is not made slower by asking.
    """
    begun = time.monotonic()
    while not (answer := what()):
        waited = time.monotonic() - begun
        assert waited < within, f"still {answer!r} after {within} s"
        time.sleep(min(_SHORTEST + waited / 10, _LONGEST))
    return answer


def free_port() -> int:
    """A port of loopback that nobody had a moment ago, and that this process was not given before.

    It is below those that the system picks for connections, which would take it before it is used.
    """
    while (port := _LOWEST + secrets.randbelow(10_000)) in _given or not _free(port):
        pass
    _given.add(port)
    return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def image(folder: Path, service: str, **environment: str | None) -> "Platform":
    """What an image of this service holds, in this folder: its code, and the messages of all."""
    for name in set(catalog()) - {service}:
        (folder / "services" / name).mkdir(parents=True)
        for file in ("__init__.py", "messages.py"):
            (folder / "services" / name / file).symlink_to(ROOT / "services" / name / file)
    for name in ("chassis", "charts", "services/__init__.py", f"services/{service}"):
        (folder / name).symlink_to(ROOT / name)
    return Platform(folder, PYTHONPATH=str(folder), **environment)


class Platform:
    """`environment` adds to, and by None takes from, what the commands inherit."""

    def __init__(self, folder: Path, **environment: str | None) -> None:
        self.folder = folder
        settings: dict[str, str | None] = {"PORT": "0", "DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT)}
        settings |= {**dict.fromkeys(ENGINES), **environment}
        self.environment = {k: v for k, v in (os.environ | settings).items() if v is not None}

    def mercato(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            self._command(*arguments), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=90
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command and leave it running, its output on a pipe."""
        return subprocess.Popen(
            self._command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
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
