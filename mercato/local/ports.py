"""Ports of this machine, chosen once and kept, so that a restarted process gets its port again."""

import socket
import sys

HOST = "127.0.0.1"


class Ports:
    """The ports of one platform.

    A bound socket that never listens holds each port. On Linux a process that sets SO_REUSEADDR can still listen there;
    until it does, connections are refused, and nothing else gets the port.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def take(self, port: int = 0) -> int:
        """Hold this port, or a free one for 0, and return it. Raises OSError if it cannot be bound."""
        held = socket.socket()
        self._held.append(held)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
        taken: int = held.getsockname()[1]
        return taken

    def release_if_exclusive(self) -> None:
        """Release all ports on systems where only one socket can be bound to a port."""
        if sys.platform != "linux":
            for held in self._held:
                held.close()
