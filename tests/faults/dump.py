"""Everything that a platform holds at one moment: each service's documents, and the log with its groups' offsets."""

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Doc = dict[str, Any]
Docs = dict[str, Doc]
"""id -> document."""


@dataclass(frozen=True)
class Published:
    """An event as it stands on the log."""

    topic: str
    key: str
    sequence: int
    type: str
    time: str
    data: Doc


@dataclass
class Dump:
    """`stores`: service -> collection -> documents. `events` are in the order of their partitions."""

    stores: dict[str, dict[str, Docs]] = field(default_factory=dict)
    events: list[Published] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    """topic:partition:offset -> key of each record that is no event."""
    lag: dict[tuple[str, str], int] = field(default_factory=dict)
    """(group, topic) -> records that the group has not committed."""

    def docs(self, service: str, collection: str) -> Docs:
        return self.stores.get(service, {}).get(collection, {})

    def of(self, *types: str) -> list[Published]:
        """The events of these types, each once however often it was published."""
        first: dict[tuple[str, str, int], Published] = {}
        for event in self.events:
            if event.type in types:
                first.setdefault((event.topic, event.key, event.sequence), event)
        return list(first.values())


def read(data_dir: Path) -> Dump:
    """Read a DATA_DIR, whether its platform runs or not; nothing is written."""
    dump = Dump()
    for path in sorted((data_dir / "store").glob("*.db")):
        dump.stores |= read_store(data_dir, path.stem).stores
    with closing(_opened(data_dir / "bus.db")) as db:
        db.execute("BEGIN")
        dump.events, dump.unreadable = _events(db)
        dump.lag = _lag(db)
    return dump


def read_store(data_dir: Path, service: str) -> Dump:
    """The documents of one service alone, all of them as they were at one moment."""
    with closing(_opened(data_dir / "store" / f"{service}.db")) as db:
        db.execute("BEGIN")
        return Dump(stores={service: {name: _documents(db, name) for name in _collections(db)}})


def _opened(path: Path) -> sqlite3.Connection:
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
    """Counted from the beginning for a partition where a group that reads the topic has committed nothing."""
    rows = db.execute(
        """SELECT groups.grp, partitions.topic, sum(next - max(first, coalesce(offset, 0)))
           FROM (SELECT DISTINCT grp, topic FROM committed JOIN partitions ON partition = id) AS groups
           JOIN partitions ON partitions.topic = groups.topic
           LEFT JOIN committed ON committed.partition = partitions.id AND committed.grp = groups.grp
           GROUP BY groups.grp, partitions.topic"""
    )
    return {(group, topic): behind for group, topic, behind in rows}
