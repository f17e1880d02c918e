"""A client of MongoDB, made after the fork: writes are durable, no answer is waited for long, errors are the port's."""

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

REQUEST = 2.0
"""Seconds that one operation of a request may take while the server is heard: busy is not down."""
UNHEARD = 0.75
"""The same where the server was not heard lately: the caller hears within a second that the database is down."""
AGAIN = 0.1
"""The same after an operation was waited for in vain, until the server is heard: no request waits twice."""
ALONE = 4.0
"""The same for work that nobody waits for, such as a page of full outboxes: well below any lease."""
WRITING = 0.6
"""The part of an operation's time that a write has for its answer; the rest is for looking what became of it."""

_HEARTBEAT = 0.5  # seconds between two looks for servers: how late one that is back is found
_LATELY = 2.0  # seconds in which a server that lives has answered one of these, however busy it is
_CONNECT = 2.0  # seconds until a connection that nobody accepts is tried anew
_LOOK = 0.01  # seconds between two looks whether one was found

_TOLD = 300  # characters of what the driver says
# Codes of what only a mistake in the program causes. Whatever else a server says, it may say otherwise later.
_MISTAKES = frozenset({2, 9, 14, 26, 27, 28, 40, 52, 57, 59, 66, 67, 72, 73, 115, 11000, 10334, 17419, 17420})

T = TypeVar("T")


class _PlainInt(TypeDecoder):
    """Every int is read as Python's own."""

    bson_type = Int64

    def transform_bson(self, value: int) -> int:
        return int(value)


_CODEC: CodecOptions[Doc] = CodecOptions(type_registry=TypeRegistry([_PlainInt()]))


def is_address(uri: str) -> bool:
    """Whether MongoDB's driver can read it; what is asked of DNS is seen when it is used."""
    if uri.startswith(SRV_SCHEME):
        return True
    try:
        parse_uri(uri)
    except (ConfigurationError, ValueError):
        return False
    return True


class Unsent(StoreUnavailable):
    """The operation was not sent: certainly not done."""


class _Server(ServerHeartbeatListener):
    """When it was last `heard`, by an operation or by the driver's own looks, and until when nobody waits for it."""

    def __init__(self) -> None:
        self.heard, self.down_until = float("-inf"), 0.0

    def answered(self) -> None:
        self.heard, self.down_until = clock.monotonic(), 0.0

    def started(self, event: ServerHeartbeatStartedEvent) -> None:
        """Nothing is heard yet."""

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        self.answered()

    def failed(self, event: ServerHeartbeatFailedEvent) -> None:
        """Nothing was heard."""


class MongodbClient:
    """`threads` may use it at once. Raises StoreUnavailable where the server does not answer, or not to us."""

    def __init__(self, uri: str, database: str, threads: int) -> None:
        self._uri, self._name, self._threads = uri, database, threads
        self._gate = threading.Lock()
        self._client: MongoClient[Doc] | None = None
        self._opener = 0
        self._server = _Server()

    def database(self) -> Database[Doc]:
        """The database, with its guarantees, whatever the address says of them."""
        return self._opened().get_database(
            self._name, _CODEC, ReadPreference.PRIMARY, WriteConcern("majority", j=True), ReadConcern("majority")
        )

    def patience(self) -> float:
        """Seconds that the next operation may take. Raises DeadlineExceeded."""
        if not deadline.is_set():
            return ALONE
        now = clock.monotonic()
        if now < self._server.down_until:
            return deadline.remaining(AGAIN)
        return deadline.remaining(REQUEST if now - self._server.heard < _LATELY else UNHEARD)

    def read(self, work: Callable[[], T], seconds: float) -> T:
        """What it returns. Asked once more where that failed at once: a connection breaks when its server restarts."""
        began = clock.monotonic()
        try:
            with self.answering(seconds):
                return work()
        except Unsent:  # it was waited for
            raise
        except StoreUnavailable:
            left = began + seconds - clock.monotonic()
            if left < seconds / 2:
                raise
        with self.answering(left):
            return work()

    @contextmanager
    def answering(self, seconds: float) -> Iterator[None]:
        """Operations that may take so long together. What only a mistake causes is raised as PyMongo does."""
        began = clock.monotonic()
        try:
            self._wait_for_server(began + min(seconds, UNHEARD))
            with pymongo.timeout(max(began + seconds - clock.monotonic(), _LOOK)):
                yield
        except OperationFailure as error:
            if error.code in _MISTAKES:
                raise
            raise self._down(StoreUnavailable(f"{type(error).__name__}, code {error.code}"), began, seconds) from error
        except ServerSelectionTimeoutError as error:
            raise self._down(Unsent(str(error)[:_TOLD]), began, seconds) from error
        except Unsent as error:
            raise self._down(error, began, seconds) from None
        except PyMongoError as error:
            raise self._down(
                StoreUnavailable(f"{type(error).__name__}: {str(error)[:_TOLD]}"), began, seconds
            ) from error
        self._server.answered()

    def close(self) -> None:
        with self._gate:
            if self._client is not None and self._opener == os.getpid():
                self._client.close()
            self._client = None

    def _opened(self) -> MongoClient[Doc]:
        with self._gate:
            if self._client is None:
                self._client, self._opener = self._connect(), os.getpid()
        if self._opener != os.getpid():
            raise RuntimeError(f"the client of {self._name} was made before this process was forked")
        return self._client

    def _wait_for_server(self, until: float) -> None:
        """The driver's own waiting goes by half seconds, which is too coarse for a request."""
        client = self._opened()
        while not client.topology_description.has_writable_server():
            if clock.monotonic() >= until:
                servers = client.topology_description.server_descriptions().values()
                found = [str(server.error or f"{server.address} is {server.server_type_name}") for server in servers]
                raise Unsent(f"there is no server to write to: {', '.join(found)[:_TOLD]}")
            clock.sleep(_LOOK)

    def _down(self, error: StoreUnavailable, began: float, seconds: float) -> StoreUnavailable:
        """The error, noted where it was waited for and nothing was heard meanwhile."""
        now = clock.monotonic()
        if seconds > AGAIN and now - began > min(seconds, UNHEARD) / 2 and self._server.heard < began:
            self._server.down_until = now + error.retry_after
        return error

    def _connect(self) -> MongoClient[Doc]:
        try:
            return MongoClient(
                self._uri,
                appname=self._name,
                maxPoolSize=self._threads,
                connectTimeoutMS=int(_CONNECT * 1000),
                heartbeatFrequencyMS=int(_HEARTBEAT * 1000),
                event_listeners=[self._server],
                retryReads=False,  # `read` does, and in time
                retryWrites=True,  # a replica set knows what it has done already
            )
        except (ConfigurationError, OSError) as error:  # such as a certificate that cannot be read
            raise StoreUnavailable(f"{type(error).__name__}: {str(error)[:_TOLD]}") from error
