"""The engines that the contract suites run over, each a value that another process can open again."""

from dataclasses import dataclass
from pathlib import Path

from chassis.bus import Bus
from chassis.bus.sqlite import SqliteBus
from chassis.store import Store
from chassis.store.sqlite import SqliteStore

TTL = 1.0
"""Seconds until a silent member of a group loses its partitions."""


@dataclass(frozen=True)
class SqliteEngine:
    folder: Path

    def store(self) -> Store:
        return SqliteStore(self.folder / "store.db")

    def bus(self) -> Bus:
        return SqliteBus(self.folder / "bus.db", TTL)


Engine = SqliteEngine
