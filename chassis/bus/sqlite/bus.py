"""The bus in one SQLite file: partitions, groups and offsets for the processes of one machine. Every write is synced.

partitions  id, topic, number, first, next      `next` is the offset of the next record, `first` of the oldest kept one
records     partition, offset, time, key, value, headers
committed   grp, partition, fence, offset       `fence` is that of the member that owns the partition
leases                                          a collection: who owns which partition, see chassis.store.leases
"""

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson

from chassis import clock
from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.sqlite.consumer import SqliteConsumer
from chassis.store import Collection
from chassis.store.sqlite.file import SqliteFile
from chassis.store.sqlite.store import SqliteStore

_SCHEMA = (
    "CREATE TABLE topics (name TEXT PRIMARY KEY, retention REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE partitions (
        id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL,
        first INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0, UNIQUE (topic, number))""",
    """CREATE TABLE records (
        partition INTEGER NOT NULL, offset INTEGER NOT NULL, time TEXT NOT NULL, key TEXT NOT NULL,
        value BLOB NOT NULL, headers TEXT NOT NULL, PRIMARY KEY (partition, offset)) WITHOUT ROWID""",
    """CREATE TABLE committed (
        grp TEXT NOT NULL, partition INTEGER NOT NULL, fence INTEGER NOT NULL, offset INTEGER NOT NULL,
        PRIMARY KEY (grp, partition)) WITHOUT ROWID""",
)
_Row = tuple[str, bytes, str]  # key, value, headers
_HAS_TABLES = "SELECT 1 FROM sqlite_master WHERE name = 'committed'"
_PRUNE_INTERVAL_S = 3600.0
_MAX_PRUNED_AT_ONCE = 500  # in one transaction, so that publishers wait little


class SqliteBus:
    """Implements `chassis.bus.Bus`. A member of a group that is silent for `session_s` loses its partitions."""

    def __init__(self, path: Path, session_s: float = 10.0) -> None:
        self._file, self._session_s = SqliteFile(path, BusUnavailable), session_s
        self._leases: Collection | None = None
        self._partition_ids: dict[str, list[int]] = {}
        self._pruned_at = clock.monotonic()

    def ensure_topics(self, topics: Sequence[Topic]) -> None:
        self._open()
        wanted = [topic for topic in topics if not self._is_current(topic)]
        if wanted:
            self._file.write(lambda db: _create_topics(db, wanted))
        self._prune()

    def publish(self, records: Sequence[Record], timeout_s: float) -> list[BaseException | None]:
        outcomes: list[BaseException | None] = [None] * len(records)
        batches: dict[int, list[_Row]] = defaultdict(list)
        rejected: dict[tuple[str, str], BaseException] = {}
        try:
            self._open()
            if clock.monotonic() - self._pruned_at >= _PRUNE_INTERVAL_S:
                self._prune()
            for position, record in enumerate(records):
                key = record.topic, record.key
                try:
                    if key not in rejected:
                        batches[self._partition_of(record)].append(_row(record))
                except (BusUnavailable, TypeError, ValueError) as error:
                    rejected[key] = error
                outcomes[position] = rejected.get(key)
            if batches:
                self._file.write(lambda db: _append(db, batches), timeout_s)
        except BusUnavailable as error:
            return [error] * len(records)
        return outcomes

    def consumer(self, group: str, topics: Sequence[str]) -> SqliteConsumer:
        return SqliteConsumer(self._file, self._open(), group, topics, self._session_s)

    def ping(self) -> None:
        self._file.read("SELECT count(*) FROM sqlite_master")

    def close(self) -> None:
        self._file.close()

    def _open(self) -> Collection:
        """Create the tables if they are missing. Return the collection of the leases."""
        if self._leases is None:
            if not self._file.read(_HAS_TABLES):
                self._file.write(_create_tables)
            leases = Collection("leases")
            leases.attach(SqliteStore(self._file)).ensure_indexes()
            self._leases = leases
        return self._leases

    def _is_current(self, topic: Topic) -> bool:
        rows = self._file.read("SELECT retention FROM topics WHERE name = ?", (topic.name,))
        return rows == [(topic.retention_s,)]

    def _partition_of(self, record: Record) -> int:
        """Return the id of the record's partition: the same one for its key in every process."""
        ids = self._partition_ids.get(record.topic)
        if not ids:
            rows = self._file.read("SELECT id FROM partitions WHERE topic = ? ORDER BY number", (record.topic,))
            ids = self._partition_ids[record.topic] = [id for (id,) in rows]
        if not ids:
            raise BusUnavailable(f"there is no topic {record.topic}")
        return ids[zlib.crc32(record.key.encode()) % len(ids)]

    def _prune(self) -> None:
        """Delete the records that are older than the retention of their topic, also from the write-ahead log."""
        self._pruned_at = clock.monotonic()
        for partition, retention_s in self._file.read(
            "SELECT partitions.id, retention FROM partitions JOIN topics ON topics.name = topic"
        ):
            while self._prune_page(partition, clock.timestamp_ago(retention_s)):
                pass
        self._file.empty_log()

    def _prune_page(self, partition: int, before: str) -> bool:
        """Delete some expired records. Return whether there may be more."""
        oldest = "SELECT offset, time FROM records WHERE partition = ? ORDER BY offset LIMIT ?"
        if not any(time < before for _, time in self._file.read(oldest, (partition, 1))):
            return False

        def work(db: sqlite3.Connection) -> bool:
            rows = db.execute(oldest, (partition, _MAX_PRUNED_AT_ONCE)).fetchall()
            keep = next((offset for offset, time in rows if time >= before), rows[-1][0] + 1 if rows else 0)
            db.execute("DELETE FROM records WHERE partition = ? AND offset < ?", (partition, keep))
            db.execute("UPDATE partitions SET first = max(first, ?) WHERE id = ?", (keep, partition))
            return len(rows) == _MAX_PRUNED_AT_ONCE

        return self._file.write(work)


def _create_tables(db: sqlite3.Connection) -> None:
    if not db.execute(_HAS_TABLES).fetchone():
        for statement in _SCHEMA:
            db.execute(statement)


def _create_topics(db: sqlite3.Connection, topics: Iterable[Topic]) -> None:
    for topic in topics:
        db.execute("INSERT OR REPLACE INTO topics (name, retention) VALUES (?, ?)", (topic.name, topic.retention_s))
        if not db.execute("SELECT 1 FROM partitions WHERE topic = ?", (topic.name,)).fetchone():
            numbers = [(topic.name, number) for number in range(topic.partitions)]
            db.executemany("INSERT INTO partitions (topic, number) VALUES (?, ?)", numbers)


def _row(record: Record) -> _Row:
    return record.key, bytes(record.value), orjson.dumps(dict(record.headers)).decode()


def _append(db: sqlite3.Connection, batches: Mapping[int, Sequence[_Row]]) -> None:
    now = clock.timestamp()
    for partition, batch in batches.items():
        (start,) = db.execute("SELECT next FROM partitions WHERE id = ?", (partition,)).fetchone()
        rows = [(partition, offset, now, *row) for offset, row in enumerate(batch, start)]
        db.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)", rows)
        db.execute("UPDATE partitions SET next = ? WHERE id = ?", (start + len(rows), partition))
