"""The engines that the contract suites run over, each a value that another process can open again."""

from dataclasses import dataclass
from pathlib import Path

from chassis.bus import Bus
from chassis.store import Store

TTL = 1.0
"""Seconds until a silent member of a group loses its partitions, where the engine lets a test choose so few."""


@dataclass(frozen=True)
class SqliteEngine:
    folder: Path

    def store(self) -> Store:
        from chassis.store.sqlite import SqliteStore

        return SqliteStore(self.folder / "store.db")

    def bus(self) -> Bus:
        from chassis.bus.sqlite import SqliteBus

        return SqliteBus(self.folder / "bus.db", TTL)


@dataclass(frozen=True)
class MongodbEngine:
    """`database` is this test's own."""

    uri: str
    database: str

    def store(self) -> Store:
        from chassis.store.mongodb import MongodbStore

        return MongodbStore(self.uri, self.database)


@dataclass(frozen=True)
class KafkaEngine:
    servers: str

    def bus(self) -> Bus:
        from chassis.bus.kafka import KafkaBus

        return KafkaBus(self.servers)


Engine = SqliteEngine | MongodbEngine | KafkaEngine
