"""A callee over real sockets that answers as a test says: well, with errors, drop by drop, never, or with a reset.

with stub_server(hang) as (server, client):
    client.send(AskQuestion(), "key", 1)
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
from chassis.schema import Schema
from tests.system.running import free_port


class Answered(Schema):
    text: str


class AskQuestion(Command):
    """A command that needs its key to be repeated."""

    question: str = "?"
    Reply = Answered


class ReadQuestion(Command, read_only=True):
    """A command that changes nothing."""

    Reply = Answered


AskQuestion.service = ReadQuestion.service = "stub"

Says = Callable[[socket.socket, "StubServer"], Any]


class StubServer(socketserver.ThreadingTCPServer):
    """Answers each request with what `says(connection, oracle)` does, and counts them; False ends the connection."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self, says: Says) -> None:
        self.says, self.request_count, self.over = says, 0, threading.Event()
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
    server: StubServer

    def handle(self) -> None:
        while self._read():
            self.server.request_count += 1
            if self.server.says(self.connection, self.server) is False:
                return

    def _read(self) -> bool:
        head = list(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else []
        for line in head:
            if line.lower().startswith(b"content-length:"):
                self.rfile.read(int(line.split()[1]))
        return bool(head)


@contextmanager
def stub_server(says: Says) -> Iterator[tuple[StubServer, Client]]:
    """An oracle, and a client that knows it alone."""
    server = StubServer(says)
    try:
        yield server, client(server.address)
    finally:
        server.close()


def client(*addresses: str, threads: int = 16) -> Client:
    return Client(ServiceTokens("tests", "s" * 32, frozenset()), lambda _: lambda: [list(addresses)], threads)


def closed_address() -> str:
    """An address at which nobody listens."""
    return f"127.0.0.1:{free_port()}"


def http_response(status: int, body: str, **headers: str) -> bytes:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


OK_RESPONSE = http_response(200, '{"text": "yes"}')
REJECTED_RESPONSE = http_response(
    409, '{"type": "/problems/not-today", "title": "Not today", "status": 409, "detail": "", "day": "friday"}'
)
ERROR_RESPONSE = http_response(500, "{}")
SHED_RESPONSE = http_response(
    503, '{"type": "/problems/not-done", "title": "Too busy", "status": 503}', Retry_After="1"
)


def respond_with(*answers: bytes) -> Says:
    """These answers in turn, the last one for ever."""
    left = list(answers)
    return lambda connection, _: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


def drip(connection: socket.socket, oracle: StubServer) -> Any:
    for byte in OK_RESPONSE:
        connection.sendall(bytes([byte]))
        if oracle.over.wait(0.2):
            return False
    return None


def hang(connection: socket.socket, oracle: StubServer) -> Any:
    oracle.over.wait(10)
    return False


def reset(connection: socket.socket, oracle: StubServer) -> Any:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    return False
