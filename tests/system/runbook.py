"""Runs what a page of docs/operations says, on the platform of a test.

    runbook = Runbook("saga-old", shop, commands, ORDER=order)
    assert "take payment" in runbook.run("mercato sagas show ORDER")

`kubectl exec` becomes the command in the pod, `kubectl logs` the log of that process on this machine.
"""

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.runbooks import Written, commands
from tests.system.platform import Shop
from tests.system.running import ROOT, Platform, eventually

COMMANDS = set(commands())


class Commands:
    """`mercato` on platforms of tests; a command takes a tenth of a second."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.system.command_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, platform: Platform, *arguments: str) -> tuple[int, str, str]:
        """Return (exit code, output, errors) of a command."""
        assert self._server.stdin and self._server.stdout
        files = {name: str(self._folder / name) for name in ("output", "errors")}
        for path in files.values():
            Path(path).write_text("")
        place = {"environment": platform.environment, "folder": str(platform.folder)}
        self._server.stdin.write(json.dumps({"arguments": arguments, **place, **files}) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return code, *(Path(path).read_text() for path in files.values())

    def close(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(10)


class Runbook:
    """One page; `names` replaces the words in capitals of its commands."""

    def __init__(self, page: str, shop: Platform, commands: Commands, **names: str) -> None:
        self._page, self._shop, self._commands, self.names = page, shop, commands, names

    def run(self, text: str, code: int = 0) -> str:
        """Run a command as the page has it; return its output. Its exit code must be `code`; -1: any."""
        assert Written(self._page, text) in COMMANDS, f"{self._page} does not say: {text}"
        filled = re.sub(r"[A-Z]{2,}", lambda word: self.names.get(word[0], word[0]), text)
        first, *rest = Written(self._page, Written(self._page, filled).local).stages
        if first[0] == "mercato":
            ended, output, errors = self._commands.run(self._shop, *first[1:])
            assert code in (-1, ended), f"{filled}: {ended}\n{output}{errors}"
        elif first[0] == "kubectl":
            output = self._log(first)
        else:
            output = self._bash(shlex.join(first), "", code)
        return self._bash(" | ".join(map(shlex.join, rest)), output, code) if rest else output

    def finds(self, text: str) -> str:
        """Wait until a command, a search in a log, finds something; return that."""
        found: str = eventually(lambda: self.run(text, code=-1))
        return found

    def _log(self, words: list[str]) -> str:
        """Return what `kubectl logs deployment/NAME` would show."""
        assert "logs" in words, words
        (name,) = (word.removeprefix("deployment/") for word in words if word.startswith("deployment/"))
        return self._shop.log(name if name.endswith("-worker") else f"{name}-web")

    @staticmethod
    def _bash(script: str, stdin: str, code: int) -> str:
        done = subprocess.run(["bash", "-c", script], input=stdin, capture_output=True, text=True)
        assert code in (-1, done.returncode), f"{script}: {done.returncode}\n{done.stderr}"
        return done.stdout


@contextmanager
def database(shop: Shop, name: str) -> Iterator[sqlite3.Connection]:
    """Open the store of a service, or the bus, for a change of its own."""
    path = shop.data / "bus.db" if name == "bus" else shop.data / "store" / f"{name}.db"
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as db:
        yield db


def set_field(shop: Shop, service: str, table: str, id: str, **fields: Any) -> None:
    """Change fields of a document, as a defect or the time would."""
    with database(shop, service) as db:
        for name, value in fields.items():
            path = f"$.{name.replace('__', '.')}"
            db.execute(f"UPDATE {table} SET doc = json_set(doc, ?, ?) WHERE id = ?", (path, value, id))
