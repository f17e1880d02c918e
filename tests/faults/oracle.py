"""A callee over real sockets that answers as a test says: well, with errors, drop by drop, never, or with a reset.

with oracle(hang) as (server, client):
    client.send(Ask(), "key", 1)
"""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chassis.calls.client import Client
from chassis.calls.tokens import ServiceTokens
from chassis.messages import Command
from chassis.schema import Wire
from tests.system.running import free_port


class Answered(Wire):
    text: str


class Ask(Command):
    """A command that needs its key to be repeated."""

    question: str = "?"
    Answer = Answered


class Look(Command, reads=True):
    """A command that changes nothing."""

    Answer = Answered


Ask.service = Look.service = "oracle"

Says = Callable[[socket.socket, "Oracle"], Any]


class Oracle(socketserver.ThreadingTCPServer):
    """Answers each request with what `says(connection, oracle)` does, and counts them; False ends the connection."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self, says: Says) -> None:
        self.says, self.asked, self.over = says, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The caller has gone: that is the callers' affair."""

    def close(self) -> None:
        """Nobody listens any more."""
        self.over.set()
        self.shutdown()
        self.server_close()


class _Handler(socketserver.StreamRequestHandler):
    server: Oracle

    def handle(self) -> None:
        while self._read():
            self.server.asked += 1
            if self.server.says(self.connection, self.server) is False:
                return

    def _read(self) -> bool:
        head = list(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else []
        for line in head:
            if line.lower().startswith(b"content-length:"):
                self.rfile.read(int(line.split()[1]))
        return bool(head)


@contextmanager
def oracle(says: Says) -> Iterator[tuple[Oracle, Client]]:
    """An oracle, and a client that knows it alone."""
    server = Oracle(says)
    try:
        yield server, client(server.address)
    finally:
        server.close()


def client(*addresses: str, threads: int = 16) -> Client:
    return Client(ServiceTokens("tests", "s" * 32, frozenset()), lambda _: lambda: [list(addresses)], threads)


def nowhere() -> str:
    """An address at which nobody listens."""
    return f"127.0.0.1:{free_port()}"


def answer(status: int, body: str, **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


YES = answer(200, '{"text": "yes"}')
NO = answer(409, '{"type": "/problems/not-today", "title": "Not today", "status": 409, "detail": "", "day": "friday"}')
BROKEN = answer(500, "{}")
SHED = answer(503, '{"type": "/problems/not-done", "title": "Too busy", "status": 503}', Retry_After="1")


def saying(*answers: bytes) -> Says:
    """These answers in turn, the last one for ever."""
    left = list(answers)
    return lambda connection, _: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


def drip(connection: socket.socket, oracle: Oracle) -> Any:
    for byte in YES:
        connection.sendall(bytes([byte]))
        if oracle.over.wait(0.2):
            return False
    return None


def hang(connection: socket.socket, oracle: Oracle) -> Any:
    oracle.over.wait(10)
    return False


def reset(connection: socket.socket, oracle: Oracle) -> Any:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    return False
