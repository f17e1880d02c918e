"""Ports of this machine, chosen once and kept, so that a process finds its own again after a restart."""

import socket
import sys

HOST = "127.0.0.1"


class Ports:
    """Ports taken for one platform.

    Each is held by a bound socket that never listens: Linux lets a process that sets SO_REUSEADDR listen there all
    the same, refuses connections as long as none does, and gives the port to nobody else meanwhile.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, port: int = 0) -> int:
        """This port, or a free one for 0. Raises OSError when it is not to be had."""
        held = socket.socket()
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
        taken: int = held.getsockname()[1]
        return taken

    def settle(self) -> None:
        """All are taken. Where only one socket may be bound to a port they are let go again for the processes."""
        if sys.platform != "linux":
            for held in self._held:
                held.close()
