"""An upstream over real sockets with a given behavior: responds, drips bytes, hangs, or resets the connection.

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

DRIP_INTERVAL_S, HANG_S = 0.2, 10


class TextReply(Schema):
    text: str


class AskQuestion(Command):
    """A command that can be repeated under an idempotency key only."""

    question: str = "?"
    Reply = TextReply


class ReadQuestion(Command, read_only=True):
    """A command that changes nothing and can always be repeated."""

    question: str = "?"
    Reply = TextReply


AskQuestion.service = ReadQuestion.service = "stub"

Behavior = Callable[[socket.socket, "StubServer"], Any]


class StubServer(socketserver.ThreadingTCPServer):
    """A server that counts requests and calls `behavior(connection, server)` for each; False closes the connection."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self, behavior: Behavior) -> None:
        self.behavior, self.request_count, self.stopped = behavior, 0, threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore that the client has closed the connection."""

    def close(self) -> None:
        """Stop listening, and end every response that hangs."""
        self.stopped.set()
        self.shutdown()
        self.server_close()


class _Handler(socketserver.StreamRequestHandler):
    server: StubServer

    def handle(self) -> None:
        while self._read_request():
            self.server.request_count += 1
            if self.server.behavior(self.connection, self.server) is False:
                return

    def _read_request(self) -> bool:
        head = list(iter(self.rfile.readline, b"\r\n")) if self.rfile.peek(1) else []
        for line in head:
            if line.lower().startswith(b"content-length:"):
                self.rfile.read(int(line.split()[1]))
        return bool(head)


@contextmanager
def stub_server(behavior: Behavior) -> Iterator[tuple[StubServer, Client]]:
    """Run a stub server; yield it and a client that resolves every service to it."""
    server = StubServer(behavior)
    try:
        yield server, client(server.address)
    finally:
        server.close()


def client(*addresses: str, threads: int = 16) -> Client:
    """Return a client that resolves every service to these addresses."""
    return Client(ServiceTokens("tests", "s" * 32), lambda _: lambda: [list(addresses)], threads)


def closed_address() -> str:
    """Return an address on which no process listens."""
    return f"127.0.0.1:{free_port()}"


def http_response(status: int, body: str, **headers: str) -> bytes:
    """Return the bytes of an HTTP response; `Retry_After` in `headers` stands for Retry-After."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


OK_RESPONSE = http_response(200, '{"text": "yes"}')
REJECTED_RESPONSE = http_response(
    409, '{"type": "/problems/not-today", "title": "Not today", "status": 409, "detail": "", "day": "friday"}'
)
ERROR_RESPONSE = http_response(500, "{}")
SHED_RESPONSE = http_response(
    503, '{"type": "/problems/not-done", "title": "Too busy", "status": 503}', Retry_After="1"
)


def respond_with(*responses: bytes) -> Behavior:
    """Send these responses in turn, the last one for every further request."""
    left = list(responses)
    return lambda connection, _: connection.sendall(left.pop(0) if len(left) > 1 else left[0])


def drip(connection: socket.socket, server: StubServer) -> Any:
    """Send a good response byte by byte."""
    for byte in OK_RESPONSE:
        connection.sendall(bytes([byte]))
        if server.stopped.wait(DRIP_INTERVAL_S):
            return False
    return None


def hang(connection: socket.socket, server: StubServer) -> Any:
    """Send nothing."""
    server.stopped.wait(HANG_S)
    return False


def reset(connection: socket.socket, server: StubServer) -> Any:
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    return False
