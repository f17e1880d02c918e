"""`mercato` in the image for `skaffold dev`: web and worker restart when a file of their code changes.

A container cannot write to its code, so they run from a copy in the folder for temporary files, `/tmp/app`; skaffold
writes changed files there.
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
from mercato.local.watch import POLL_S, CodeWatch

_BACKOFF_S = 1.0  # before the restart of a process that ended by itself
_CODE = Path(__file__).parents[2]


def main() -> None:
    """Run the `mercato` command."""
    if sys.argv[1:2] in (["web"], ["worker"]):
        keep_running([sys.executable, "-m", "mercato.cli", *sys.argv[1:]], _copy_code())
    else:
        mercato(prog_name="mercato")


def keep_running(command: list[str], folder: Path) -> None:
    """Run the command in the folder until SIGTERM; restart it when it ends or when a source file there changes."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    watch = CodeWatch(folder)
    while not stop.is_set():
        process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)})  # noqa: S603  ours
        while process.poll() is None and not watch.poll() and not stop.wait(POLL_S):
            pass
        if process.poll() is not None:
            stop.wait(_BACKOFF_S)
        process.terminate()
        process.wait()


def _copy_code() -> Path:
    """Return the copy, made once: a container that restarts in its pod finds it with its changes."""
    folder = Path(tempfile.gettempdir()) / "app"
    if not folder.exists():
        shutil.copytree(_CODE, folder.with_suffix(".new"), dirs_exist_ok=True)
        folder.with_suffix(".new").rename(folder)
    return folder


if __name__ == "__main__":
    main()
