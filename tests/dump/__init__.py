"""A dump of a platform: the documents of each service, and the bus with the offsets of its groups."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines import Pair

Doc = dict[str, Any]
Docs = dict[str, Doc]
"""id -> document."""


@dataclass(frozen=True)
class Published:
    """An event as it is on the bus."""

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
    """topic:partition:offset -> key of each record that is not an event."""
    lag: dict[tuple[str, str], int] = field(default_factory=dict)
    """(group, topic) -> number of records that the group has not committed."""

    def docs(self, service: str, collection: str) -> Docs:
        return self.stores.get(service, {}).get(collection, {})

    def of(self, *types: str) -> list[Published]:
        """Return the events of these types, without duplicates."""
        first: dict[tuple[str, str, int], Published] = {}
        for event in self.events:
            if event.type in types:
                first.setdefault((event.topic, event.key, event.sequence), event)
        return list(first.values())


Place = Path | Pair
"""Where a platform stores its data: its DATA_DIR, or its engines."""


def read(place: Place) -> Dump:
    """Read everything, whether the platform runs or not, without writing."""
    return _reader(place).read(place)


def lag(place: Place) -> dict[tuple[str, str], int]:
    """Return only the `lag` of `read`, at little cost."""
    found: dict[tuple[str, str], int] = _reader(place).lag(place)
    return found


def read_store(place: Place, service: str, *collections: str) -> Dump:
    """Read the documents of one service, in these collections or in all; a snapshot on the embedded engine.

    Name the collections if you read often: the platform uses the same engines.
    """
    return _reader(place).read_store(place, service, *collections)


def forget(pair: Pair) -> None:
    """Close the connections that were opened to read these engines."""
    from tests.dump import real

    real.forget(pair)


def _reader(place: Place) -> Any:
    if isinstance(place, Path):
        from tests.dump import embedded

        return embedded
    from tests.dump import real

    return real
