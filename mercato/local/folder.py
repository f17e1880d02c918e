"""DATA_DIR: what one platform keeps on this machine.

format.json     the storage format of everything below
lock            held by the launcher as long as it runs
run.json        the launcher and its processes, for `mercato status` and for the next launcher
secret          PLATFORM_SECRET, and on a second line PLATFORM_SECRET_ACCEPTED: each process reads it when it starts
admin.json      e-mail address and password that the first administrator got
logs/           one file per process
mail/           the mails that a mail server would send
store/, bus.db  documents and events, unless MongoDB and Kafka hold them
"""

import fcntl
import os
from pathlib import Path
from typing import Any

import orjson

from chassis import clock
from chassis.store.format import VERSION

_MAX_LOG_BYTES = 10 * 1024 * 1024
_DATA = ("run.json", "secret", "admin.json")  # what every launcher has written


class Folder:
    """The folder of one platform, which only its owner can read; created if it does not exist.

    Raises: OSError if it cannot be written, SystemExit if it holds data of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        check_format(self.path)
        (self.path / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        if not (self.path / "format.json").exists():
            self.write("format.json", {"format": VERSION})
        self._lock = (self.path / "lock").open("a")

    def lock(self) -> bool:
        """Lock the folder until this process ends. Returns False if another process has locked it."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def secrets(self) -> dict[str, str]:
        """Return the settings that hold the platform's secrets; the first call generates one."""
        path = self.path / "secret"
        if not path.exists():
            _write(path, clock.entropy(32).hex().encode())
        secret, *accepted = path.read_text().splitlines()
        return {"PLATFORM_SECRET": secret, "PLATFORM_SECRET_ACCEPTED": "".join(accepted)}

    def administrator(self) -> dict[str, str] | None:
        """Return {email, password} with which the first administrator was made here, or None."""
        found: dict[str, str] | None = self.read("admin.json")
        return found

    def forget_administrator(self) -> None:
        """Delete the stored address and password: no account has them."""
        (self.path / "admin.json").unlink(missing_ok=True)

    def log_path(self, name: str) -> Path:
        """Return the log file of this name."""
        return self.path / "logs" / f"{name}.log"

    def rotate_log(self, name: str) -> None:
        """Rename a log that has grown large to `.log.old`; replaces the previous one."""
        path = self.log_path(name)
        if path.exists() and path.stat().st_size > _MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.old"))

    def read(self, name: str) -> Any:
        """Return the content of the JSON file of this name, or None."""
        return _read(self.path / name)

    def write(self, name: str, value: Any) -> None:
        """Replace the JSON file of this name atomically."""
        _write(self.path / name, orjson.dumps(value, option=orjson.OPT_INDENT_2))


def check_format(path: Path) -> None:
    """Accept a folder without data, or with data of this version.

    Raises: SystemExit with one line if it holds data of another version.
    """
    has_data = any((path / name).exists() for name in _DATA)  # looked for first, because it is written last
    marker = _read(path / "format.json")
    found = marker["format"] if marker else 1
    if found != VERSION and (has_data or marker):
        age = "an earlier" if found < VERSION else "a later"
        raise SystemExit(
            f"mercato: {shown(path)} was made by {age} version (storage format {found}, not {VERSION}): "
            "set DATA_DIR to a new folder, or move this one away"
        )


def open_folder(path: Path) -> Folder:
    """Open the folder.

    Raises: SystemExit with one line if it cannot be used.
    """
    try:
        return Folder(path)
    except OSError as error:
        raise SystemExit(f"mercato: cannot write to DATA_DIR={path}: {error.strerror}") from None


def shown(path: Path) -> str:
    """Return the path relative to the current folder if it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _read(path: Path) -> Any:
    return orjson.loads(path.read_bytes()) if path.exists() else None


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
