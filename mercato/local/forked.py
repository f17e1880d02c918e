"""A process of the platform, forked from a server that has imported what all of them need.

Importing takes most of a second of a processor, which each would spend at its start and again at each restart. Nothing
is opened, started or read from the environment by an import, so a fork is as good as a beginning.
"""

import atexit
import multiprocessing
import os
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from chassis import lifeline
from mercato.cli import main

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["mercato.local.preloaded"])
_COMM = Path("/proc/self/comm")


def start(name: str, command: list[str], environment: dict[str, str], log: Path, lifeline_fd: int) -> BaseProcess:
    """Begin `mercato <command>` in a session of its own, its output appended to its log; `name` is what `top` shows.

    The environment adds to that of the first who was started.
    """
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "1048576")  # glibc: a password's hash gives its 19 MB back at once
    arguments = (command, environment, log, DupFd(lifeline_fd))
    process = _forks.Process(target=_run, args=arguments, name=name)
    process.start()
    return process


def _run(command: list[str], environment: dict[str, str], log: Path, lifeline_fd: Any) -> None:
    os.setsid()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment | {lifeline.VARIABLE: str(lifeline_fd.detach())})
    if _COMM.exists():
        _COMM.write_text(multiprocessing.current_process().name)
    try:
        main(command, prog_name="mercato")
    finally:
        atexit._run_exitfuncs()  # such a fork ends without; it does nothing where they have been run
