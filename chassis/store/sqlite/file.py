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

# SQLite's own waiting backs off to 100 ms and starves beside a busy process: let it wait briefly, and try again.
_BUSY_TIMEOUT_S = 0.003
_PRAGMAS = (
    "synchronous = FULL",
    "secure_delete = ON",  # erased data must not stay in free pages; not every build has it by default
    "journal_size_limit = 67108864",
    "cache_size = -8000",
    "temp_store = MEMORY",
)


class _Connection(sqlite3.Connection):
    """A connection that supports weak references, so that it is closed when its thread has ended."""


class SqliteFile:
    """A file with a connection for each thread. Operations raise `error` if the file cannot be used within `timeout_s`.

    No connection may be open when the process forks: the child would share the parent's locks.
    """

    def __init__(self, path: Path, error: type[TransientError], timeout_s: float = 2.0) -> None:
        self.path, self._error, self._timeout_s = path, error, timeout_s
        self._thread = threading.local()
        self._opened: WeakSet[_Connection] = WeakSet()
        self._opener_pid = 0
        self._lock = threading.Lock()  # for the two below
        self._waiting: list[_Job] = []
        self._busy = False

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of one statement, from one snapshot."""
        db = self._connection()
        try:
            return self._run(db, sql, values, self._timeout_s)
        except sqlite3.DatabaseError as error:
            raise self._translated(error) from error

    def write(self, work: Callable[[sqlite3.Connection], T], timeout_s: float | None = None) -> T:
        """Return what `work` returns once its changes are on disk. If it raises, its changes are rolled back.

        Only one writer works at a time. The jobs of threads that wait meanwhile share one transaction, and so one
        sync; each keeps its own outcome.
        """
        until = clock.monotonic() + (self._timeout_s if timeout_s is None else timeout_s)
        job = _Job(work)
        with self._lock:
            self._waiting.append(job)
            job.is_leader, self._busy = not self._busy, True
        if not job.is_leader and not job.wake.acquire(timeout=max(until - clock.monotonic(), 0)):
            if self._withdraw(job):
                raise self._error(f"{self.path.name} is busy")
            job.wake.acquire()  # another thread is doing it just now
        if not job.done:
            try:
                self._commit_all(job, until)
            finally:
                self._promote_next()
        if job.error:
            raise job.error
        return cast(T, job.result)

    def empty_log(self) -> None:
        """Empty the write-ahead log, which keeps old pages: what was deleted then is in no file.

        While the file is in use, writers wait for some milliseconds at most; the log is then emptied by a later call.
        """
        log = self.path.with_name(self.path.name + "-wal")
        if log.exists() and log.stat().st_size:
            self.read("PRAGMA wal_checkpoint(TRUNCATE)")

    def version(self) -> int:
        """Return a number that changes whenever another connection changes the file. Costs a few microseconds."""
        return int(self.read("PRAGMA data_version")[0][0])

    def close(self) -> None:
        """Close every connection of this process."""
        if self._opener_pid == os.getpid():
            for db in list(self._opened):
                db.close()
        self._opened.clear()
        self._thread = threading.local()
        self._opener_pid = 0

    def _connection(self) -> _Connection:
        db: _Connection | None = getattr(self._thread, "db", None)
        if self._opener_pid not in (0, os.getpid()):
            raise RuntimeError(f"{self.path.name} was opened before this process was forked")
        if db is None:
            try:
                db = self._open()
            except sqlite3.DatabaseError as error:
                raise self._translated(error) from error
            self._thread.db = db
            self._opened.add(db)
            self._opener_pid = os.getpid()
        return db

    def _open(self) -> _Connection:
        # Any thread may close it, in `close`; otherwise each thread uses its own.
        db = sqlite3.connect(
            self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        try:
            self._run(db, "PRAGMA journal_mode = WAL", (), self._timeout_s)
            for pragma in _PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
        except BaseException:
            db.close()
            raise
        return db

    @staticmethod
    def _run(db: sqlite3.Connection, sql: str, values: Sequence[Any], timeout_s: float) -> list[Row]:
        until: float | None = None
        while True:
            try:
                return db.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
                until = until or clock.monotonic() + timeout_s
                if clock.monotonic() >= until:
                    raise
                clock.sleep(0.001)

    def _commit_all(self, mine: "_Job", until: float) -> None:
        """Run all waiting jobs in one transaction. A job that fails alone is rolled back alone."""
        db: _Connection | None = None
        jobs = [mine]
        try:
            db = self._connection()
            self._run(db, "BEGIN IMMEDIATE", (), until - clock.monotonic())
            with self._lock:
                jobs, self._waiting = self._waiting, []
            for job in jobs:
                self._run_job(db, job)
            db.execute("COMMIT")
        except BaseException as error:
            for job in jobs:
                job.error = self._translated(error)
            if db is not None:
                self._roll_back(db)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                self._waiting = [job for job in self._waiting if job not in jobs]
            for job in jobs:
                job.done = True
                if job is not mine:
                    job.wake.release()

    def _promote_next(self) -> None:
        """Make the first waiting job the leader, which writes for all of them."""
        with self._lock:
            self._busy = bool(self._waiting)
            if self._busy:
                self._waiting[0].is_leader = True
                self._waiting[0].wake.release()

    def _withdraw(self, job: "_Job") -> bool:
        """Remove a job that still waits. Return whether it did."""
        with self._lock:
            is_waiting = job in self._waiting and not job.is_leader
            if is_waiting:
                self._waiting.remove(job)
        return is_waiting

    def _run_job(self, db: _Connection, job: "_Job") -> None:
        db.execute("SAVEPOINT job")
        try:
            job.result = job.work(db)
        except Exception as error:
            if not db.in_transaction:  # as after a full disk: SQLite has rolled back the other jobs as well
                raise
            db.execute("ROLLBACK TO job")
            job.error = self._translated(error)
        db.execute("RELEASE job")

    def _roll_back(self, db: _Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            db.close()  # rolls it back as well; the thread opens another connection
            del self._thread.db

    def _translated(self, error: BaseException) -> Exception:
        """Return what the caller sees: its own mistake unchanged, anything from a disk or a lock as transient."""
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.ProgrammingError):
            is_mistake = _code(error) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
            return error if is_mistake else self._error(f"{self.path.name}: {error}")
        return error if isinstance(error, Exception) else self._error("the process is ending")


class _Job:
    """What one thread wants to write, and the outcome."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False
        self.is_leader = False
        self.wake = threading.Lock()  # released once the job is done, or becomes the leader
        self.wake.acquire()


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code (sqlite.org/rescode.html)."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
