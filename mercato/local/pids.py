"""Processes of this machine by pid: when one started, and how to kill its group."""

import os
import signal
import subprocess
import sys
from pathlib import Path


def start_time(pid: int) -> str:
    """Return when the process started, as this machine writes it, or "" if there is none.

    A pid and its start time together name a process: the machine gives the pid to others later.
    """
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if state in "ZX" else fields[18]  # proc(5): starttime, in ticks since boot
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  a number and our own words
    return done.stdout.strip()


def stopped_groups() -> set[int]:
    """Return the process groups of this machine in which a signal, such as SIGSTOP, has stopped a process."""
    if sys.platform == "linux":
        found = (_group_and_state(path) for path in Path("/proc").glob("[0-9]*/stat"))
    else:
        command = ["/bin/ps", "-A", "-o", "pgid=,state="]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  our own words
        found = ((int(line.split()[0]), line.split()[1]) for line in done.stdout.splitlines())
    return {group for group, state in found if state.startswith("T")}


def _group_and_state(path: Path) -> tuple[int, str]:
    try:
        state, _, group, *_ = path.read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0, ""
    return int(group), state


def kill_group(pid: int) -> None:
    """Send SIGKILL to the process group of this session leader, if there is one."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS raises the latter for a group of zombies
        return
