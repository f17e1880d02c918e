"""`mercato` in the image for `skaffold dev`: web and worker begin again when a file of the code changes.

A container cannot write to its code, so they run from a copy in the folder for temporary files, `/tmp/app`; skaffold
puts there what has changed.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from mercato.cli import main as mercato

LOOK_EVERY, PAUSE = 0.5, 1.0
"""Seconds between two looks at the files, and before a process that ended by itself is begun again."""

_CODE = Path(__file__).parents[2]


def main() -> None:
    """The `mercato` command."""
    if sys.argv[1:2] in (["web"], ["worker"]):
        keep_running([sys.executable, "-m", "mercato.cli", *sys.argv[1:]], _copied())
    else:
        mercato(prog_name="mercato")


def keep_running(command: list[str], folder: Path) -> None:
    """Run the command in the folder until SIGTERM, anew whenever it has ended or a Python file there has changed."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        seen = _seen(folder)
        process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)})  # noqa: S603  ours
        while process.poll() is None and _seen(folder) == seen and not stop.wait(LOOK_EVERY):
            """Nothing has happened."""
        if process.poll() is not None:
            stop.wait(PAUSE)
        process.terminate()
        process.wait()


def _copied() -> Path:
    """The copy, made once: a container that is restarted in its pod finds it as it was changed."""
    folder = Path(tempfile.gettempdir()) / "app"
    if not folder.exists():
        shutil.copytree(_CODE, folder.with_suffix(".new"), dirs_exist_ok=True)
        folder.with_suffix(".new").rename(folder)
    return folder


def _seen(folder: Path) -> dict[Path, tuple[int, int]]:
    """Every Python file, with when it was written last and its size."""
    found: dict[Path, tuple[int, int]] = {}
    for path in folder.rglob("*.py"):
        try:
            told = path.stat()
        except FileNotFoundError:  # it was being replaced
            continue
        found[path] = told.st_mtime_ns, told.st_size
    return found


if __name__ == "__main__":
    main()
