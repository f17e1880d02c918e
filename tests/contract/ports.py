"""The engines that the contract suites run over, each a value that another process can open again."""

from dataclasses import dataclass
from pathlib import Path

from chassis.bus import Bus
from chassis.store import Store


@dataclass(frozen=True)
class SqliteEngine:
    folder: Path
    patience: float = 2.0
    """Seconds until a silent member of a group loses its partitions."""

    def store(self) -> Store:
        from chassis.store.sqlite.store import SqliteStore

        return SqliteStore(self.folder / "store.db")

    def bus(self) -> Bus:
        from chassis.bus.sqlite.bus import SqliteBus

        return SqliteBus(self.folder / "bus.db", self.patience)


@dataclass(frozen=True)
class MongodbEngine:
    """`database` is this test's own."""

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
    patience: float = 6.0
    """As for SQLite; a broker as it comes grants no less."""

    def bus(self) -> Bus:
        from chassis.bus.kafka.bus import KafkaBus

        return KafkaBus(self.servers, session_s=self.patience)


Engine = SqliteEngine | MongodbEngine | KafkaEngine
