"""A client of MongoDB, created after the fork: durable writes, short timeouts, and the port's own errors."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pymongo
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.database import Database
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.uri_parser_shared import SRV_SCHEME

from chassis import clock, deadline
from chassis.store import Doc, StoreUnavailable

REQUEST_TIMEOUT_S = 2.0
"""Time for one operation of a request while the server responds: a busy server is not down."""
SILENT_TIMEOUT_S = 0.75
"""The same when the server has not responded lately, so that callers learn within a second that it is down."""
DOWN_TIMEOUT_S = 0.1
"""The same after an operation timed out, until the server responds: no request waits twice."""
BACKGROUND_TIMEOUT_S = 4.0
"""The same for background work, such as a page of pending events: well below any lease."""
WRITE_SHARE = 0.6
"""The share of its time that a write has for its response; the rest is for looking up its outcome."""

_HEARTBEAT_INTERVAL_S = 0.5  # how late a server that is back is found
_SILENT_AFTER_S = 2.0  # a live server responds to a heartbeat in this time, however busy it is
_CONNECT_TIMEOUT_S = 2.0
_SELECTION_POLL_S = 0.01  # between two checks whether a server was found

_MAX_MESSAGE_LENGTH = 300  # characters of the driver's error messages
# Error codes that only a mistake in the program causes. Any other error may go away.
_MISTAKES = frozenset({2, 9, 14, 26, 27, 28, 40, 52, 57, 59, 66, 67, 72, 73, 115, 11000, 10334, 17419, 17420})

T = TypeVar("T")


class _PlainInt(TypeDecoder):
    """Reads every int as Python's own."""

    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


_CODEC: CodecOptions[Doc] = CodecOptions(type_registry=TypeRegistry([_PlainInt()]))


def is_uri(uri: str) -> bool:
    """Return whether MongoDB's driver can parse it; what DNS has to resolve fails only when it is used."""
    if uri.startswith(SRV_SCHEME):
        return True
    try:
        parse_uri(uri)
    except (ConfigurationError, ValueError):
        return False
    return True


class OperationNotSent(StoreUnavailable):
    """The operation was not sent, so it certainly did not happen."""


class _ServerState(ServerHeartbeatListener):
    """When the server last responded, to an operation or a heartbeat, and until when nobody waits for it."""

    def __init__(self) -> None:
        self.responded_at, self.down_until = float("-inf"), 0.0

    def responded(self) -> None:
        self.responded_at, self.down_until = clock.monotonic(), 0.0

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """No response yet."""

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        self.responded()

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """No response."""


class MongodbClient:
    """A client for up to `threads` threads. Raises StoreUnavailable if the server does not respond, or rejects us."""

    def __init__(self, uri: str, database: str, threads: int) -> None:
        self._uri, self._name, self._threads = uri, database, threads
        self._lock = threading.Lock()
        self._client: MongoClient[Doc] | None = None
        self._opener_pid = 0
        self._server = _ServerState()

    def database(self) -> Database[Doc]:
        """Return the database with our durability guarantees, whatever the URI says about them."""
        return self._connected().get_database(
            self._name, _CODEC, ReadPreference.PRIMARY, WriteConcern("majority", j=True), ReadConcern("majority")
        )

    def timeout_s(self) -> float:
        """Return the time that the next operation may take. Raises DeadlineExceeded."""
        if not deadline.is_set():
            return BACKGROUND_TIMEOUT_S
        now = clock.monotonic()
        if now < self._server.down_until:
            return deadline.remaining(DOWN_TIMEOUT_S)
        is_silent = now - self._server.responded_at >= _SILENT_AFTER_S
        return deadline.remaining(SILENT_TIMEOUT_S if is_silent else REQUEST_TIMEOUT_S)

    def read(self, work: Callable[[], T], timeout_s: float) -> T:
        """Return what `work` returns. Repeat it once if it fails early: a server that restarts breaks connections."""
        started = clock.monotonic()
        try:
            with self.time_limit(timeout_s):
                return work()
        except OperationNotSent:  # it has waited already
            raise
        except StoreUnavailable:
            left_s = started + timeout_s - clock.monotonic()
            if left_s < timeout_s / 2:
                raise
        with self.time_limit(left_s):
            return work()

    @contextmanager
    def time_limit(self, timeout_s: float) -> Iterator[None]:
        """Limit the time of the operations in the block together. A mistake of the program keeps PyMongo's error."""
        started = clock.monotonic()
        try:
            self._wait_for_server(started + min(timeout_s, SILENT_TIMEOUT_S))
            with pymongo.timeout(max(started + timeout_s - clock.monotonic(), _SELECTION_POLL_S)):
                yield
        except OperationFailure as error:
            if error.code in _MISTAKES:
                raise
            failure = StoreUnavailable(f"{type(error).__name__}, code {error.code}")
            raise self._noted(failure, started, timeout_s) from error
        except ServerSelectionTimeoutError as error:
            raise self._noted(OperationNotSent(str(error)[:_MAX_MESSAGE_LENGTH]), started, timeout_s) from error
        except OperationNotSent as error:
            raise self._noted(error, started, timeout_s) from None
        except PyMongoError as error:
            failure = StoreUnavailable(f"{type(error).__name__}: {str(error)[:_MAX_MESSAGE_LENGTH]}")
            raise self._noted(failure, started, timeout_s) from error
        self._server.responded()

    def close(self) -> None:
        with self._lock:
            if self._client is not None and self._opener_pid == os.getpid():
                self._client.close()
            self._client = None

    def _connected(self) -> MongoClient[Doc]:
        with self._lock:
            if self._client is None:
                self._client, self._opener_pid = self._connect(), os.getpid()
        if self._opener_pid != os.getpid():
            raise RuntimeError(f"the client of {self._name} was created before this process was forked")
        return self._client

    def _wait_for_server(self, until: float) -> None:
        """Wait for a primary. The driver's own server selection polls each half second, too coarse for a request."""
        client = self._connected()
        while not client.topology_description.has_writable_server():
            if clock.monotonic() >= until:
                servers = client.topology_description.server_descriptions().values()
                found = [str(server.error or f"{server.address} is {server.server_type_name}") for server in servers]
                raise OperationNotSent(f"no server accepts writes: {', '.join(found)[:_MAX_MESSAGE_LENGTH]}")
            clock.sleep(_SELECTION_POLL_S)

    def _noted(self, error: StoreUnavailable, started: float, timeout_s: float) -> StoreUnavailable:
        """Return the error. If the operation waited in vain, expect nothing of the server for a while."""
        now = clock.monotonic()
        has_waited = timeout_s > DOWN_TIMEOUT_S and now - started > min(timeout_s, SILENT_TIMEOUT_S) / 2
        if has_waited and self._server.responded_at < started:
            self._server.down_until = now + error.retry_after
        return error

    def _connect(self) -> MongoClient[Doc]:
        try:
            return MongoClient(
                self._uri,
                appname=self._name,
                maxPoolSize=self._threads,
                connectTimeoutMS=int(_CONNECT_TIMEOUT_S * 1000),
                heartbeatFrequencyMS=int(_HEARTBEAT_INTERVAL_S * 1000),
                event_listeners=[self._server],
                retryReads=False,  # `read` does, and in time
                retryWrites=True,  # a replica set recognizes a repeated write
            )
        except (ConfigurationError, OSError) as error:  # such as a certificate that cannot be read
            raise StoreUnavailable(f"{type(error).__name__}: {str(error)[:_MAX_MESSAGE_LENGTH]}") from error
