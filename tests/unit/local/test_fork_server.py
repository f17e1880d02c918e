"""A child starts by itself, whatever becomes of the process that asked for it."""

import subprocess
import sys

from tests.system.running import eventually

START_AND_STOP = """
import os, signal, sys
from pathlib import Path
from mercato.local import fork_server
read_end, write_end = os.pipe()
fork_server.start(print, ["started"], {}, Path(sys.argv[1]), read_end, "child")
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_child_starts_while_its_launcher_is_stopped(tmp_path):
    log = tmp_path / "child.log"
    launcher = subprocess.Popen([sys.executable, "-c", START_AND_STOP, str(log)])
    try:
        eventually(lambda: log.exists() and "started" in log.read_text(), within=60)
    finally:
        launcher.kill()
        launcher.wait()
