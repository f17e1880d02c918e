"""A proxy in front of MongoDB that loses commands or responses, as a network does: by resetting the connection."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

_HEADER = 16
_OP_MSG = 2013
_NAME = _HEADER + 4 + 1 + 4 + 1  # flags, kind of section, length of the document, type of its first field
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """A proxy at `uri`. It loses what `lose` names, and delays every response by `delay` seconds."""

    def __init__(self, uri: str) -> None:
        server = urlsplit(uri)
        self._server = server.hostname, server.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._command, self._times, self._done = b"", 0, False
        self._then: Callable[[], object] = lambda: None
        self.lost, self.delay = 0, 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, command: str, *, done: bool, times: int = 1, then: Callable[[], object] = lambda: None) -> None:
        """Lose the next `times` responses to a command and call `then` (`done`), or else the commands themselves."""
        self._command, self._done, self._times, self._then = command.encode(), done, times, then

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                losing = threading.Event()
                threading.Thread(target=self._forward_commands, args=(client, server, losing), daemon=True).start()
                threading.Thread(target=self._forward_responses, args=(client, server, losing), daemon=True).start()

    def _forward_commands(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        while message := _message(client):
            if self._times and _command(message) == self._command:
                self._times -= 1
                self.lost += 1
                if not self._done:
                    break
                losing.set()
            server.sendall(message)
        _reset(client, server)

    def _forward_responses(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while message := _message(server):
                if losing.is_set():
                    self._then()
                    break
                time.sleep(self.delay)
                client.sendall(message)
        _reset(client, server)


def _message(source: socket.socket) -> bytes:
    """Return a whole message, b"" at the end."""
    try:
        head = _exactly(source, 4)
        return head + _exactly(source, struct.unpack("<i", head)[0] - 4)
    except OSError:
        return b""


def _exactly(source: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = source.recv(size - len(parts))
        if not part:
            raise ConnectionError("the other side has closed")
        parts += part
    return parts


def _command(message: bytes) -> bytes:
    if struct.unpack_from("<i", message, 12)[0] != _OP_MSG:
        return b""
    return message[_NAME : message.index(b"\0", _NAME)]


def _reset(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            each.shutdown(socket.SHUT_RD)
            each.close()
