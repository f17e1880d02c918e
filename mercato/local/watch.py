"""Changes of code, templates and static files, found by polling: works on every system and in every container."""

from pathlib import Path

POLL_S = 0.5
"""Seconds between two polls of the files."""

_SUFFIXES = {".py", ".html", ".xml", ".txt", ".css", ".js", ".svg"}


class CodeWatch:
    """The source files below some folders, as they were at the last poll."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._seen = self._snapshot()

    def poll(self) -> set[Path]:
        """Return the files that were written, created or deleted since the last poll."""
        before, self._seen = self._seen, self._snapshot()
        return {path for path in before.keys() | self._seen.keys() if before.get(path) != self._seen.get(path)}

    def _snapshot(self) -> dict[Path, tuple[int, int]]:
        """Return path -> (modification time, size)."""
        found: dict[Path, tuple[int, int]] = {}
        for folder in self._folders:
            for path in folder.rglob("*"):
                if path.suffix in _SUFFIXES:
                    try:
                        status = path.stat()
                    except FileNotFoundError:  # an editor is replacing it
                        continue
                    found[path] = status.st_mtime_ns, status.st_size
        return found
