"""Reads the files of the embedded engines in a DATA_DIR."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.dump import Docs, Dump, Published


def read(data_dir: Path) -> Dump:
    dump = Dump()
    for path in sorted((data_dir / "store").glob("*.db")):
        dump.stores |= read_store(data_dir, path.stem).stores
    with closing(_open(data_dir / "bus.db")) as db:
        db.execute("BEGIN")
        dump.events, dump.unreadable = _events(db)
        dump.lag = _lag(db)
    return dump


def lag(data_dir: Path) -> dict[tuple[str, str], int]:
    with closing(_open(data_dir / "bus.db")) as db:
        return _lag(db)


def read_store(data_dir: Path, service: str, *collections: str) -> Dump:
    with closing(_open(data_dir / "store" / f"{service}.db")) as db:
        db.execute("BEGIN")
        return Dump(stores={service: {name: _documents(db, name) for name in collections or _collections(db)}})


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=10)


def _collections(db: sqlite3.Connection) -> list[str]:
    rows = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%:%'")
    return [name for (name,) in rows]


def _documents(db: sqlite3.Connection, collection: str) -> Docs:
    return {id: json.loads(text) for id, text in db.execute(f'SELECT id, doc FROM "{collection}" ORDER BY id')}


def _events(db: sqlite3.Connection) -> tuple[list[Published], dict[str, str]]:
    rows = db.execute(
        """SELECT topic, number, offset, key, value, headers FROM records JOIN partitions ON partitions.id = partition
           WHERE topic LIKE '%.events' ORDER BY partition, offset"""
    )
    events, unreadable = [], {}
    for topic, number, offset, key, value, text in rows:
        headers = json.loads(text)
        if "ce_sequence" in headers:
            sequence, data = int(headers["ce_sequence"]), json.loads(value)
            events.append(Published(topic, key, sequence, headers["ce_type"], headers["ce_time"], data))
        else:
            unreadable[f"{topic}:{number}:{offset}"] = key
    return events, unreadable


def _lag(db: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """Return the lag of each group. A partition without a committed offset counts from its beginning."""
    rows = db.execute(
        """SELECT groups.grp, partitions.topic, sum(next - max(first, coalesce(offset, 0)))
           FROM (SELECT DISTINCT grp, topic FROM committed JOIN partitions ON partition = id) AS groups
           JOIN partitions ON partitions.topic = groups.topic
           LEFT JOIN committed ON committed.partition = partitions.id AND committed.grp = groups.grp
           GROUP BY groups.grp, partitions.topic"""
    )
    return {(group, topic): behind for group, topic, behind in rows}
