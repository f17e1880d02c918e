"""A process ends when its launcher does, however that ended: a pipe tells it, and nothing else is needed.

The launcher alone holds the write end. When it is gone, every reader sees the end of the file.
"""

import os
import signal
import threading

VARIABLE = "LIFELINE_FD"


def watch() -> None:
    """End this process by SIGTERM once the launcher is gone. To be called again after a fork: no thread survives it."""
    descriptor = os.environ.get(VARIABLE)
    if descriptor:
        threading.Thread(target=_wait, args=(int(descriptor),), name="lifeline", daemon=True).start()


def _wait(descriptor: int) -> None:
    while os.read(descriptor, 1):
        """Nobody writes; a byte would mean nothing."""
    os.kill(os.getpid(), signal.SIGTERM)
