"""One HTTP exchange on a kept connection, within one deadline: a timeout of a plain socket would restart at each read.

Why `http.client`: docs/decisions/051-kept-connections.md.
"""

import select
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

from chassis import deadline
from chassis.calls.outcomes import Headers, HttpResponse, ResponseTimeout, Unreachable
from chassis.errors import DeadlineExceeded, OutcomeUnknown
from chassis.observe import trace

MAX_CALL_S = 4.0
"""Longest time that a call may take; shorter than any lease under which calls are made."""
CONNECT_TIMEOUT_S = 0.25


MAX_ADDRESSES = 64
"""Addresses for which connections are kept: those of pods that are gone must not stay."""


class Transport:
    """Connections, of which at most `threads` are kept for each address; safe to share between threads."""

    def __init__(self, threads: int) -> None:
        self._threads, self._lock = threads, threading.Lock()
        self._idle: OrderedDict[str, deque[_Connection]] = OrderedDict()

    def exchange(
        self, method: str, address: str, path: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> HttpResponse:
        """Return the response, whatever its status. Raises Unreachable, OutcomeUnknown, DeadlineExceeded.

        A request is sent once: if a kept connection breaks while it is used, nobody knows what the server did.
        """
        with deadline.within(timeout_s):
            left = deadline.remaining(timeout_s)
            connection = self._take(address) or _connect(address, min(CONNECT_TIMEOUT_S, left))
            try:
                response = connection.exchange(method, path, body, headers)
            except (OSError, HTTPException, ValueError) as error:
                connection.close()
                raise _no_response(f"{address} closed the connection or did not respond in time") from error
            except BaseException:
                connection.close()
                raise
            if connection.sock:  # http.client closes it if the server is about to
                self._keep(address, connection)
            trace.current().set_attribute("http.response.status_code", response.status)
            return response

    def _take(self, address: str) -> "_Connection | None":
        """Return the connection that was used last, and that the server has not closed since then."""
        while True:
            with self._lock:
                idle = self._idle.get(address)
                if not idle:
                    return None
                connection = idle.pop()
            if not connection.is_readable():
                return connection
            connection.close()

    def _keep(self, address: str, connection: "_Connection") -> None:
        surplus: deque[_Connection] = deque()
        with self._lock:
            idle = self._idle.setdefault(address, deque())
            self._idle.move_to_end(address)
            idle.append(connection)
            if len(idle) > self._threads:
                surplus.append(idle.popleft())
            if len(self._idle) > MAX_ADDRESSES:
                surplus += self._idle.popitem(last=False)[1]
        for each in surplus:
            each.close()


def _no_response(message: str) -> OutcomeUnknown:
    """Return ResponseTimeout after the deadline, else OutcomeUnknown."""
    try:
        deadline.remaining(MAX_CALL_S)
    except DeadlineExceeded:
        return ResponseTimeout(message)
    return OutcomeUnknown(message)


def _connect(address: str, timeout_s: float) -> "_Connection":
    connection = _Connection(address, timeout=timeout_s)
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        raise Unreachable(f"{address} is unreachable") from error
    return connection


class _Socket(socket.socket):
    """A socket whose reads wait until the deadline of the current work."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        try:
            self.settimeout(deadline.remaining(MAX_CALL_S))
        except DeadlineExceeded:
            raise TimeoutError("the deadline has passed") from None
        return super().recv_into(*args, **kwargs)


class _Connection(HTTPConnection):
    """A connection that sends head and body of a request together, so that the server wakes up once."""

    sock: Any

    def connect(self) -> None:
        super().connect()
        plain = self.sock
        self.sock = _Socket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self._poll = select.poll()
        self._poll.register(self.sock, select.POLLIN)

    def is_readable(self) -> bool:
        """Return whether there is something to read although no response is awaited: the server closed."""
        return bool(self._poll.poll(0))

    def exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
        """Return the response. Raises OSError, HTTPException, DeadlineExceeded; ValueError for a malformed header."""
        left = deadline.remaining(MAX_CALL_S)
        self._outgoing = b""
        self.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            self.putheader(name, value)
        milliseconds = max(1, int((left - deadline.HOP_S) * 1000))
        self.putheader(deadline.HEADER, str(milliseconds))
        self.putheader("traceparent", trace.traceparent())
        if body or method not in ("GET", "DELETE"):
            self.putheader("Content-Length", str(len(body)))
        self.endheaders(body)
        self.sock.settimeout(left)
        with suppress(ConnectionError):  # a server that rejects a request responds before it has read all of it
            self.sock.sendall(self._outgoing)
        response = self.getresponse()
        return HttpResponse(response.status, Headers(response.headers), response.read())

    def send(self, data: Any) -> None:
        """Collect what http.client sends in parts."""
        self._outgoing += data
