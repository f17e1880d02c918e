"""The engines of the contract suites: values that another process can open, too."""

from dataclasses import dataclass
from pathlib import Path

from chassis.bus import Bus
from chassis.store import Store


@dataclass(frozen=True)
class SqliteEngine:
    folder: Path
    session_s: float = 2.0
    """A member that is silent for this time loses its partitions."""

    def store(self) -> Store:
        from chassis.store.sqlite.store import SqliteStore

        return SqliteStore(self.folder / "store.db")

    def bus(self) -> Bus:
        from chassis.bus.sqlite.bus import SqliteBus

        return SqliteBus(self.folder / "bus.db", self.session_s)


@dataclass(frozen=True)
class MongodbEngine:
    """A database of one test."""

    uri: str
    database: str

    def store(self) -> Store:
        from chassis.store.mongodb.store import MongodbStore

        return MongodbStore(self.uri, self.database)

    def drop(self) -> None:
        from pymongo import MongoClient

        with MongoClient(self.uri) as client:
            client.drop_database(self.database)


@dataclass(frozen=True)
class KafkaEngine:
    servers: str
    session_s: float = 6.0
    """As for SQLite; a broker allows no less by default."""

    def bus(self) -> Bus:
        from chassis.bus.kafka.bus import KafkaBus

        return KafkaBus(self.servers, session_s=self.session_s)


Engine = SqliteEngine | MongodbEngine | KafkaEngine
