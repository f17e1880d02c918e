"""Everything that a platform holds at one moment: each service's documents, and the log with its groups' offsets."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.engines import Pair

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


Place = Path | Pair
"""Where a platform keeps what it holds: its DATA_DIR, or its engines."""


def read(place: Place) -> Dump:
    """Read it all, whether its platform runs or not; nothing is written."""
    return _reader(place).read(place)


def lag(place: Place) -> dict[tuple[str, str], int]:
    """What `read` tells as `lag`, for little: (group, topic) -> records that the group has not committed."""
    found: dict[tuple[str, str], int] = _reader(place).lag(place)
    return found


def read_store(place: Place, service: str, *collections: str) -> Dump:
    """The documents of one service, of these collections or of all; on the embedded engine as they were at one moment.

    Name them where it is read again and again: the engines are the platform's as well.
    """
    return _reader(place).read_store(place, service, *collections)


def forget(pair: Pair) -> None:
    """Close what was opened for reading these engines."""
    from tests.dump import real

    real.forget(pair)


def _reader(place: Place) -> Any:
    if isinstance(place, Path):
        from tests.dump import embedded

        return embedded
    from tests.dump import real

    return real
