"""A member of a consumer group over the SQLite bus.

Partitions are leased with `chassis.store.leases.Slots`, under one name for each group and topic, so members that read
different topics can share a group. Taking a partition over raises the fence in its committed offset; a commit needs
that fence.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from chassis import clock
from chassis.bus import Partition, PartitionRevoked, Record
from chassis.store import Collection
from chassis.store.leases import Slots
from chassis.store.sqlite.file import SqliteFile

_POLL_INTERVAL_S = 0.05  # between two checks whether the file has changed


@dataclass
class _Owned:
    id: int
    fence: int
    position: int


class SqliteConsumer:
    """Implements `chassis.bus.Consumer`. A member that is silent for `session_s` loses its partitions."""

    def __init__(
        self, file: SqliteFile, leases: Collection, group: str, topics: Sequence[str], session_s: float
    ) -> None:
        self._file, self._leases, self.group, self._session_s = file, leases, group, session_s
        self._topics = sorted(set(topics))
        self._slots: dict[str, Slots] = {}
        self._owned: dict[Partition, _Owned] = {}
        self._seen_version = -1
        self._turn = 0

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        until = clock.monotonic() + timeout_s
        first = True
        while True:
            version = self._file.version()
            changed, self._seen_version = version != self._seen_version, version
            if self._assign(refresh=changed or first) or changed or first:
                first = False
                if records := self._read(max_records):
                    return records
            left_s = until - clock.monotonic()
            if left_s <= 0:
                return []
            clock.sleep(min(left_s, _POLL_INTERVAL_S))

    def heartbeat(self) -> None:
        self._assign(refresh=False)

    def owned(self) -> Mapping[Partition, int]:
        return {partition: owned.fence for partition, owned in self._owned.items()}

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        owned = {partition: self._owned[partition] for partition in offsets if partition in self._owned}

        def work(db: sqlite3.Connection) -> set[Partition]:
            query = "UPDATE committed SET offset = ? WHERE grp = ? AND partition = ? AND fence = ?"
            return {
                partition
                for partition, mine in owned.items()
                if db.execute(query, (offsets[partition], self.group, mine.id, mine.fence)).rowcount
            }

        if revoked := offsets.keys() - self._file.write(work):
            raise PartitionRevoked(_names(revoked))

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._owned:
            raise PartitionRevoked(_names([partition]))
        self._owned[partition].position = offset

    def lag(self) -> Mapping[Partition, int]:
        query = """SELECT topic, number, next - max(first, offset) FROM partitions
                   JOIN committed ON partition = id AND grp = ? WHERE id = ?"""
        rows = [row for owned in self._owned.values() for row in self._file.read(query, (self.group, owned.id))]
        return {(topic, number): behind for topic, number, behind in rows}

    def close(self) -> None:
        self._owned.clear()
        for slots in self._slots.values():
            slots.release()

    def _assign(self, refresh: bool) -> bool:
        """Own exactly the partitions that are leased to this member. Return whether one was added."""
        due: dict[Partition, int] = {}
        for topic in self._topics:
            if slots := self._slots_of(topic, refresh):
                due |= {(topic, number): fence for number, fence in slots.held().items()}
        for partition in [one for one, owned in self._owned.items() if due.get(one) != owned.fence]:
            del self._owned[partition]
        new = [(partition, fence) for partition, fence in due.items() if partition not in self._owned]
        for partition, fence in new:
            self._take(partition, fence)
        return bool(new)

    def _slots_of(self, topic: str, refresh: bool) -> Slots | None:
        """Return the leases of a topic's partitions, or None as long as the topic does not exist."""
        slots = self._slots.get(topic)
        if slots is None and refresh:
            count = self._file.read("SELECT count(*) FROM partitions WHERE topic = ?", (topic,))[0][0]
            if count:
                slots = self._slots[topic] = Slots(self._leases, f"{self.group}/{topic}", count, self._session_s)
        elif slots is not None and refresh:
            slots.refresh()
        return slots

    def _take(self, partition: Partition, fence: int) -> None:
        """Start where the group has committed, and fence off the previous owner."""
        ((id,),) = self._file.read("SELECT id FROM partitions WHERE topic = ? AND number = ?", partition)
        key = (self.group, id)

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            db.execute("INSERT OR IGNORE INTO committed VALUES (?, ?, 0, 0)", key)
            db.execute(
                "UPDATE committed SET fence = ? WHERE grp = ? AND partition = ? AND fence < ?", (fence, *key, fence)
            )
            query = "SELECT offset, fence FROM committed WHERE grp = ? AND partition = ?"
            row: tuple[int, int] = db.execute(query, key).fetchone()
            return row

        offset, stored_fence = self._file.write(work)
        if stored_fence == fence:
            self._owned[partition] = _Owned(id, fence, offset)

    def _read(self, max_records: int) -> list[Record]:
        """Return records of the owned partitions, beginning with another one each time, so that none starves."""
        partitions = sorted(self._owned)
        self._turn += 1
        first = self._turn % len(partitions) if partitions else 0
        found: list[Record] = []
        for partition in partitions[first:] + partitions[:first]:
            if len(found) < max_records:
                found += self._read_partition(partition, max_records - len(found))
        for record in found:  # only now: a read that fails must not skip the records of the others
            self._owned[record.topic, record.partition].position = record.offset + 1
        return found

    def _read_partition(self, partition: Partition, max_records: int) -> list[Record]:
        owned, (topic, number) = self._owned[partition], partition
        rows = self._file.read(
            """SELECT offset, time, key, value, headers FROM records
               WHERE partition = ? AND offset >= ? ORDER BY offset LIMIT ?""",
            (owned.id, owned.position, max_records),
        )
        return [
            Record(topic, key, value, orjson.loads(headers), number, offset, time)
            for offset, time, key, value, headers in rows
        ]


def _names(partitions: Iterable[Partition]) -> str:
    return ", ".join(f"{topic}/{number}" for topic, number in sorted(partitions))
