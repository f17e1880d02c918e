"""One SQLite file, shared by threads and processes: connections, transactions, and errors in the port's own type."""

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakSet

from chassis import clock
from chassis.errors import TransientError

Row = tuple[Any, ...]
T = TypeVar("T")

# SQLite's own waiting backs off to 100 ms and starves beside a busy process: let it wait briefly, and ask again.
_SHORT_WAIT = 0.003
_PRAGMAS = (
    "synchronous = FULL",
    "secure_delete = ON",  # what is erased must not stay in free pages; not every build has it by itself
    "journal_size_limit = 67108864",
    "cache_size = -8000",
    "temp_store = MEMORY",
)


class _Connection(sqlite3.Connection):
    """One that can be referred to weakly, so that it goes when the thread that used it has ended."""


class SqliteFile:
    """Raises `down` where the file cannot be opened, read, written, or locked within `patience` seconds.

    A connection belongs to the thread that first needed it. None may be open when the process forks: the child's
    locks would be the parent's.
    """

    def __init__(self, path: Path, down: type[TransientError], patience: float = 2.0) -> None:
        self.path, self._down, self._patience = path, down, patience
        self._mine = threading.local()
        self._opened: WeakSet[_Connection] = WeakSet()
        self._opener = 0
        self._gate = threading.Lock()  # for the two below
        self._waiting: list[_Job] = []
        self._busy = False

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of one statement, from one moment."""
        db = self._connection()
        try:
            return self._run(db, sql, values, self._patience)
        except sqlite3.DatabaseError as error:
            raise self._trouble(error) from error

    def write(self, work: Callable[[sqlite3.Connection], T], patience: float | None = None) -> T:
        """What `work` returns, once all that it did is on the disk; what it raises, all being undone.

        It runs alone among all writers. What several threads ask for meanwhile shares one transaction, and so one
        sync; each keeps its own outcome.
        """
        until = clock.monotonic() + (self._patience if patience is None else patience)
        job = _Job(work)
        with self._gate:
            self._waiting.append(job)
            job.leads, self._busy = not self._busy, True
        if not job.leads and not job.wake.acquire(timeout=max(until - clock.monotonic(), 0)):
            if self._withdraw(job):
                raise self._down(f"{self.path.name} is busy")
            job.wake.acquire()  # it is being done just now
        if not job.done:
            try:
                self._commit(job, until)
            finally:
                self._hand_on()
        if job.error:
            raise job.error
        return cast(T, job.result)

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

    def _commit(self, mine: "_Job", until: float) -> None:
        """Do all that wait in one transaction. What fails for itself is undone for itself."""
        db: _Connection | None = None
        jobs = [mine]
        try:
            db = self._connection()
            self._run(db, "BEGIN IMMEDIATE", (), until - clock.monotonic())
            with self._gate:
                jobs, self._waiting = self._waiting, []
            for job in jobs:
                self._attempt(db, job)
            db.execute("COMMIT")
        except BaseException as error:
            for job in jobs:
                job.error = self._trouble(error)
            if db is not None:
                self._undo(db)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._gate:
                self._waiting = [job for job in self._waiting if job not in jobs]
            for job in jobs:
                job.done = True
                if job is not mine:
                    job.wake.release()

    def _hand_on(self) -> None:
        """Let the first of those that wait write for all of them."""
        with self._gate:
            self._busy = bool(self._waiting)
            if self._busy:
                self._waiting[0].leads = True
                self._waiting[0].wake.release()

    def _withdraw(self, job: "_Job") -> bool:
        """Whether it was still waiting, and does no more."""
        with self._gate:
            waits = job in self._waiting and not job.leads
            if waits:
                self._waiting.remove(job)
        return waits

    def _attempt(self, db: _Connection, job: "_Job") -> None:
        db.execute("SAVEPOINT job")
        try:
            job.result = job.work(db)
        except Exception as error:
            if not db.in_transaction:  # as after a full disk: SQLite has undone the others as well
                raise
            db.execute("ROLLBACK TO job")
            job.error = self._trouble(error)
        db.execute("RELEASE job")

    def _undo(self, db: _Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            db.close()  # undoes it as well; the thread opens another
            del self._mine.db

    def _trouble(self, error: BaseException) -> Exception:
        """What the port raises: `down` for what a disk or a lock did, the error itself for a mistake of the caller."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
            ours = _code(error) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
            return error if ours else self._down(f"{self.path.name}: {error}")
        return error if isinstance(error, Exception) else self._down("the process is ending")


class _Job:
    """What one thread wants written, and what came of it."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False
        self.leads = False
        self.wake = threading.Lock()  # released once it is done, or is to lead
        self.wake.acquire()


def _code(error: sqlite3.Error) -> int:
    """The primary result code (sqlite.org/rescode.html)."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
