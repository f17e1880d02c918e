"""A member of a consumer group over the SQLite bus.

Partitions are leased (`chassis.store.leases.Slots`, one name for each group and topic, so that members which read
different topics can be in one group). Taking one over raises the fence in its committed offset, and a commit needs
that fence.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from chassis import clock
from chassis.bus import Partition, PartitionRevoked, Record
from chassis.store import Collection
from chassis.store.leases import Slots
from chassis.store.sqlite.file import SqliteFile

_TICK = 0.05  # seconds between two looks whether the file has changed


@dataclass
class _Owned:
    id: int
    fence: int
    position: int


class SqliteConsumer:
    """Implements `chassis.bus.Consumer`."""

    def __init__(self, file: SqliteFile, leases: Collection, group: str, topics: Sequence[str], ttl: float) -> None:
        self._file, self._leases, self._group, self._ttl = file, leases, group, ttl
        self._topics = sorted(set(topics))
        self._slots: dict[str, Slots] = {}
        self._owned: dict[Partition, _Owned] = {}
        self._seen = -1
        self._turn = 0

    def poll(self, limit: int, wait: float) -> list[Record]:
        until = clock.monotonic() + wait
        fresh = True
        while True:
            version = self._file.version()
            news, self._seen = version != self._seen, version
            if self._assign(news or fresh) or news or fresh:
                fresh = False
                if records := self._read(limit):
                    return records
            left = until - clock.monotonic()
            if left <= 0:
                return []
            clock.sleep(min(left, _TICK))

    def heartbeat(self) -> None:
        self._assign(look=False)

    def owned(self) -> Mapping[Partition, int]:
        return {partition: owned.fence for partition, owned in self._owned.items()}

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        owned = {partition: self._owned[partition] for partition in offsets if partition in self._owned}

        def work(db: sqlite3.Connection) -> set[Partition]:
            query = "UPDATE committed SET offset = ? WHERE grp = ? AND partition = ? AND fence = ?"
            return {
                partition
                for partition, mine in owned.items()
                if db.execute(query, (offsets[partition], self._group, mine.id, mine.fence)).rowcount
            }

        if lost := offsets.keys() - self._file.write(work):
            raise PartitionRevoked(", ".join(f"{topic}/{number}" for topic, number in sorted(lost)))

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._owned:
            raise PartitionRevoked("{}/{}".format(*partition))
        self._owned[partition].position = offset

    def lag(self) -> Mapping[Partition, int]:
        query = """SELECT topic, number, next - max(first, offset) FROM partitions
                   JOIN committed ON partition = id AND grp = ? WHERE id = ?"""
        rows = [row for owned in self._owned.values() for row in self._file.read(query, (self._group, owned.id))]
        return {(topic, number): waiting for topic, number, waiting in rows}

    def close(self) -> None:
        self._owned.clear()
        for slots in self._slots.values():
            slots.release()

    def _assign(self, look: bool) -> bool:
        """Bring what is owned in line with the leases; whether a partition was added."""
        due: dict[Partition, int] = {}
        for topic in self._topics:
            if slots := self._slots_of(topic, look):
                due |= {(topic, number): fence for number, fence in slots.held().items()}
        for partition in [one for one, owned in self._owned.items() if due.get(one) != owned.fence]:
            del self._owned[partition]
        new = [(partition, fence) for partition, fence in due.items() if partition not in self._owned]
        for partition, fence in new:
            self._take(partition, fence)
        return bool(new)

    def _slots_of(self, topic: str, look: bool) -> Slots | None:
        """The leases of a topic's partitions; none until somebody has made the topic."""
        slots = self._slots.get(topic)
        if slots is None and look:
            count = self._file.read("SELECT count(*) FROM partitions WHERE topic = ?", (topic,))[0][0]
            if count:
                slots = self._slots[topic] = Slots(self._leases, f"{self._group}/{topic}", count, self._ttl)
        elif slots is not None and look:
            slots.look()
        return slots

    def _take(self, partition: Partition, fence: int) -> None:
        """Go on where the group has committed, and let the one before commit no more."""
        ((id,),) = self._file.read("SELECT id FROM partitions WHERE topic = ? AND number = ?", partition)
        key = (self._group, id)

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            db.execute("INSERT OR IGNORE INTO committed VALUES (?, ?, 0, 0)", key)
            db.execute(
                "UPDATE committed SET fence = ? WHERE grp = ? AND partition = ? AND fence < ?", (fence, *key, fence)
            )
            query = "SELECT offset, fence FROM committed WHERE grp = ? AND partition = ?"
            row: tuple[int, int] = db.execute(query, key).fetchone()
            return row

        offset, holds = self._file.write(work)
        if holds == fence:
            self._owned[partition] = _Owned(id, fence, offset)

    def _read(self, limit: int) -> list[Record]:
        """Records of the owned partitions, beginning with another one each time so that none waits for ever."""
        partitions = sorted(self._owned)
        self._turn += 1
        first = self._turn % len(partitions) if partitions else 0
        found: list[Record] = []
        for partition in partitions[first:] + partitions[:first]:
            if len(found) < limit:
                found += self._read_one(partition, limit - len(found))
        for record in found:  # only now: had a read failed, the others' records would have been skipped
            self._owned[record.topic, record.partition].position = record.offset + 1
        return found

    def _read_one(self, partition: Partition, limit: int) -> list[Record]:
        owned, (topic, number) = self._owned[partition], partition
        rows = self._file.read(
            """SELECT offset, time, key, value, headers FROM records
               WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?""",
            (owned.id, owned.position, limit),
        )
        return [
            Record(topic, key, value, orjson.loads(headers), number, offset, time)
            for offset, time, key, value, headers in rows
        ]
