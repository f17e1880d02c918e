"""A process of the platform, forked from a server that has imported what all of them need.

An import takes most of a second of CPU time, which each process would spend at its start and at each restart. No import
opens, starts or reads anything, so a fork is as good as a new process.
"""

import atexit
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from chassis import lifeline

Main = Callable[[list[str]], None]
"""The command line as a function of its arguments; a module-level function, because the child finds it by name."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["mercato.local.preloaded"])
_COMM = Path("/proc/self/comm")


class _SentWithFork:
    """A file descriptor that reaches the child together with the request to fork.

    `DupFd` behaves so only while the process is being pickled. Called earlier, it leaves the descriptor to a thread of
    this process, and the child cannot start until that thread runs: not while this process is stopped or busy.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _detach, (DupFd(self._fd),)


def _detach(sent: Any) -> int:
    fd: int = sent.detach()
    return fd


def start(
    main: Main, arguments: list[str], environment: dict[str, str], log: Path, lifeline_fd: int, name: str
) -> BaseProcess:
    """Start `mercato <arguments>` in a session of its own and append its output to its log.

    The environment adds to the one that the fork server had when it started. `name` is what `top` shows.
    """
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "1048576")  # glibc: a password's hash gives its 19 MB back at once
    process = _forks.Process(
        target=_run, args=(main, arguments, environment, log, _SentWithFork(lifeline_fd)), name=name
    )
    process.start()
    return process


def _run(main: Main, arguments: list[str], environment: dict[str, str], log: Path, lifeline_fd: int) -> None:
    os.setsid()
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.update(environment | {lifeline.VARIABLE: str(lifeline_fd)})
    if _COMM.exists():
        _COMM.write_text(multiprocessing.current_process().name)
    try:
        main(arguments)
    finally:
        atexit._run_exitfuncs()  # a fork does not run them before Python 3.13; a second run does nothing
