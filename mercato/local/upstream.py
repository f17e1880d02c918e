"""A service as the router sees it: its addresses, and a pool of connections to each."""

import http.client
import itertools
import select
import socket
from collections import deque

from chassis import clock

_CONNECT_TIMEOUT_S = 0.25
_MAX_IDLE_S = 60.0  # the services close theirs after 75
_MAX_IDLE = 32
"""Idle connections to one address; beyond them, the one that was used longest ago is closed."""
_IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}

Response = tuple[str, list[tuple[str, str]], bytes]
"""(status line without the version, header fields, body)"""


class Unreachable(Exception):
    """There is no connection: the request was certainly not carried out."""


class ConnectionLost(Exception):
    """The connection ended before the response did."""


class ResponseTimeout(Exception):
    """There was no response in time."""


class _IdleConnectionClosed(Exception):
    """A pooled connection was closed before any byte of the response; `sent`: the whole request was sent."""

    def __init__(self, sent: bool) -> None:
        self.sent = sent


class Upstream:
    """`addresses` is `host:port`, or several separated by `|`, used in turn; `timeout_s` limits the wait for a byte."""

    def __init__(self, addresses: str, timeout_s: float) -> None:
        self._pools = [_Pool(*_parse(address), timeout_s) for address in addresses.split("|")]
        self._turns = itertools.count()

    def send(self, method: str, head: bytes, body: bytes) -> Response:
        """Send a request and return the response. Raises Unreachable, ConnectionLost, ResponseTimeout."""
        turn = next(self._turns)
        for attempt in range(len(self._pools)):
            pool = self._pools[(turn + attempt) % len(self._pools)]
            try:
                return pool.send(method, head, body)
            except Unreachable:
                if attempt == len(self._pools) - 1:
                    raise
        raise AssertionError("there is at least one address")


class _Pool:
    """The idle connections to one address; the most recently used is taken first."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._address, self._timeout_s = (host, port), timeout_s
        self._idle: deque[tuple[socket.socket, float]] = deque()

    def send(self, method: str, head: bytes, body: bytes) -> Response:
        idle = self._take_idle()
        if idle is not None:
            try:
                return self._exchange(idle, method, head + body, fresh=False)
            except _IdleConnectionClosed as closed:
                if closed.sent and method not in _IDEMPOTENT:
                    raise ConnectionLost(f"{self._address}: closed before the response") from None
        return self._exchange(self._connect(), method, head + body, fresh=True)

    def _exchange(self, connection: socket.socket, method: str, request: bytes, fresh: bool) -> Response:
        sent = started = keep = False
        try:
            connection.sendall(request)
            sent = True
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            started = True
            body = response.read()
            keep = not response.will_close
        except TimeoutError:
            raise ResponseTimeout(f"{self._address}: no data for {self._timeout_s} s") from None
        except (OSError, http.client.HTTPException) as error:
            if not fresh and not started and isinstance(error, ConnectionError):
                raise _IdleConnectionClosed(sent) from None
            raise ConnectionLost(f"{self._address}: {error!r}") from None
        finally:
            if keep:
                self._keep(connection)
            else:
                connection.close()
        return f"{response.status} {response.reason}", response.getheaders(), body

    def _keep(self, connection: socket.socket) -> None:
        self._idle.append((connection, clock.monotonic()))
        while len(self._idle) > _MAX_IDLE:
            try:
                oldest, _ = self._idle.popleft()
            except IndexError:
                return  # other threads took them
            oldest.close()

    def _take_idle(self) -> socket.socket | None:
        """Return an idle connection that the service has not closed, or None."""
        while self._idle:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            if clock.monotonic() - since < _MAX_IDLE_S and not _is_readable(connection):
                return connection
            connection.close()
        return None

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT_S)
        except OSError as error:
            raise Unreachable(f"{self._address}: {error!r}") from None
        connection.settimeout(self._timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _is_readable(connection: socket.socket) -> bool:
    """Return whether there is something to read; on an idle connection, that is its end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
