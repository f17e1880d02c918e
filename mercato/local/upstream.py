"""A service as the router sees it: its addresses, and connections to them that are kept and used again."""

import http.client
import itertools
import select
import socket
from collections import deque

from chassis import clock

_CONNECT = 0.25
_IDLE = 60.0  # seconds a connection is kept; the services close theirs after 75
_REPEATABLE = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}

Answer = tuple[str, list[tuple[str, str]], bytes]
"""(status line without the version, header fields, body)"""


class Unreachable(Exception):
    """No connection: certainly not done."""


class Lost(Exception):
    """The connection ended before the answer did."""


class NoAnswer(Exception):
    """No answer in time."""


class _Stale(Exception):
    """A kept connection turned out to be closed before any byte of the answer; `sent`: the request had left whole."""

    def __init__(self, sent: bool) -> None:
        self.sent = sent


class Upstream:
    """`addresses`: `host:port`, several of them separated by `|`, taken in turn. `patience`: seconds without a byte."""

    def __init__(self, addresses: str, patience: float) -> None:
        self._pools = [_Pool(*_split(address), patience) for address in addresses.split("|")]
        self._turns = itertools.count()

    def send(self, method: str, head: bytes, body: bytes) -> Answer:
        """Send a request and return the answer. Raises Unreachable, Lost, NoAnswer."""
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
    """The idle connections to one address, the last used first."""

    def __init__(self, host: str, port: int, patience: float) -> None:
        self._address, self._patience = (host, port), patience
        self._idle: deque[tuple[socket.socket, float]] = deque()

    def send(self, method: str, head: bytes, body: bytes) -> Answer:
        kept = self._kept()
        if kept is not None:
            try:
                return self._exchange(kept, method, head + body, fresh=False)
            except _Stale as stale:
                if stale.sent and method not in _REPEATABLE:
                    raise Lost(f"{self._address}: closed before the answer") from None
        return self._exchange(self._connect(), method, head + body, fresh=True)

    def _exchange(self, connection: socket.socket, method: str, request: bytes, fresh: bool) -> Answer:
        sent = begun = keep = False
        try:
            connection.sendall(request)
            sent = True
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            begun = True
            body = response.read()
            keep = not response.will_close
        except TimeoutError:
            raise NoAnswer(f"{self._address}: nothing for {self._patience} s") from None
        except (OSError, http.client.HTTPException) as error:
            if not fresh and not begun and isinstance(error, ConnectionError):
                raise _Stale(sent) from None
            raise Lost(f"{self._address}: {error!r}") from None
        finally:
            if keep:
                self._idle.append((connection, clock.monotonic()))
            else:
                connection.close()
        return f"{response.status} {response.reason}", response.getheaders(), body

    def _kept(self) -> socket.socket | None:
        """An idle connection that the service has not closed."""
        while self._idle:
            try:
                connection, since = self._idle.pop()
            except IndexError:
                return None
            if clock.monotonic() - since < _IDLE and not _readable(connection):
                return connection
            connection.close()
        return None

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection(self._address, timeout=_CONNECT)
        except OSError as error:
            raise Unreachable(f"{self._address}: {error!r}") from None
        connection.settimeout(self._patience)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _readable(connection: socket.socket) -> bool:
    """An idle connection that has something to say says that it is closed."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
