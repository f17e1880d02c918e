"""One SQLite file, shared by threads and processes: connections, transactions, and errors in the port's own type."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from chassis import clock
from chassis.errors import Trouble

Row = tuple[Any, ...]

# SQLite's own waiting backs off to 100 ms and starves beside a busy process: let it wait briefly, and ask again.
_SHORT_WAIT = 0.01
_PRAGMAS = ("synchronous = FULL", "journal_size_limit = 67108864", "cache_size = -8000", "temp_store = MEMORY")


class _Connection(sqlite3.Connection):
    """One that can be referred to weakly, so that it goes when the thread that used it has ended."""


class SqliteFile:
    """Raises `down` where the file cannot be opened, read, written, or locked within `patience` seconds.

    A connection belongs to the thread that first needed it. None may be open when the process forks: the child's
    locks would be the parent's.
    """

    def __init__(self, path: Path, down: type[Trouble], patience: float = 2.0) -> None:
        self.path, self._down, self._patience = path, down, patience
        self._mine = threading.local()
        self._opened: WeakSet[_Connection] = WeakSet()
        self._opener = 0
        self._turn = threading.Lock()  # threads of one process queue here, instead of polling SQLite's lock

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement, from one moment."""
        db = self._connection()
        try:
            return self._run(db, sql, values, self._patience)
        except sqlite3.DatabaseError as error:
            raise self._trouble(error) from error

    @contextmanager
    def writing(self, patience: float | None = None) -> Iterator[sqlite3.Connection]:
        """A transaction that alone may write; it is on the disk when the block has ended, or undone if it raised."""
        patience = self._patience if patience is None else patience
        db = self._connection()
        if not self._turn.acquire(timeout=max(patience, 0)):
            raise self._down(f"{self.path.name} is busy")
        try:
            self._run(db, "BEGIN IMMEDIATE", (), patience)
            yield db
            db.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._undo(db)
            raise
        except sqlite3.DatabaseError as error:
            self._undo(db)
            raise self._trouble(error) from error
        except BaseException:
            self._undo(db)
            raise
        finally:
            self._turn.release()

    def version(self) -> int:
        """A number that changes whenever another connection has changed the file. Costs a few microseconds."""
        return int(self.read("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Close every connection of this process."""
        if self._opener == os.getpid():
            for db in list(self._opened):
                db.close()
        self._opened.clear()
        self._mine = threading.local()
        self._opener = 0

    def _connection(self) -> _Connection:
        db: _Connection | None = getattr(self._mine, "db", None)
        if self._opener not in (0, os.getpid()):
            raise RuntimeError(f"{self.path.name} was opened before this process was forked")
        if db is None:
            try:
                db = self._open()
            except sqlite3.DatabaseError as error:
                raise self._trouble(error) from error
            self._mine.db = db
            self._opened.add(db)
            self._opener = os.getpid()
        return db

    def _open(self) -> _Connection:
        # Any thread may close it, in `close`; apart from that each uses its own.
        db = sqlite3.connect(
            self.path, timeout=_SHORT_WAIT, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        try:
            self._run(db, "PRAGMA journal_mode = WAL", (), self._patience)
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def _run(db: sqlite3.Connection, sql: str, values: Sequence[Any], patience: float) -> list[Row]:
        until: float | None = None
        while True:
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
                until = until or clock.monotonic() + patience
                if clock.monotonic() >= until:
                    raise
                clock.sleep(0.001)

    @staticmethod
    def _undo(db: sqlite3.Connection) -> None:
        if db.in_transaction:
            db.execute("ROLLBACK")

    def _trouble(self, error: sqlite3.DatabaseError) -> Exception:
        """What the port raises: `down` for what the disk or a lock did, the error itself for a mistake in the SQL."""
        if isinstance(error, sqlite3.ProgrammingError) or _code(error) == sqlite3.SQLITE_ERROR:
            return error
        return self._down(f"{self.path.name}: {error}")


def _code(error: sqlite3.Error) -> int:
    """The primary result code (sqlite.org/rescode.html)."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
