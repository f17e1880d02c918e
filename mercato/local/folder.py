"""DATA_DIR: what one platform keeps on this machine.

lock        held by the launcher as long as it runs
run.json    the launcher and its processes, for `mercato status` and for the launcher after this one
secret      signs the tokens with which services call each other
admin.json  the administrator's e-mail and password
logs/       one file a process
store/, bus.db  the services' own
"""

import fcntl
import os
from pathlib import Path
from typing import Any

import orjson

from chassis import clock

_LOG_LIMIT = 10 * 1024 * 1024


class Folder:
    """Made, readable by its owner alone, when it is not there. Raises OSError where it cannot be."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        (self.path / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self._lock = (self.path / "lock").open("a")

    def lock(self) -> bool:
        """Whether this process is the one that runs the platform here, from now until it ends."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def secret(self) -> str:
        """The platform's secret, made once."""
        path = self.path / "secret"
        if not path.exists():
            _write(path, clock.entropy(32).hex().encode())
        return path.read_text()

    def administrator(self, email: str, password: str) -> dict[str, str]:
        """{email, password}: those given, else those kept, else a new password; kept before the account is made."""
        kept = self.read("admin.json") or {}
        if kept.get("email") != email:
            kept = {"email": email, "password": password or clock.new_id()[10:].lower()}
            self.write("admin.json", kept)
        return kept

    def log(self, name: str) -> Path:
        """The log file of this name."""
        return self.path / "logs" / f"{name}.log"

    def rotate(self, name: str) -> None:
        """Set a log that has grown large aside, in place of the one set aside before."""
        path = self.log(name)
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.old"))

    def read(self, name: str) -> Any:
        """The JSON file of this name, or None."""
        path = self.path / name
        return orjson.loads(path.read_bytes()) if path.exists() else None

    def write(self, name: str, value: Any) -> None:
        """Replace the JSON file of this name: a reader sees the old one or the new one."""
        _write(self.path / name, orjson.dumps(value, option=orjson.OPT_INDENT_2))


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
