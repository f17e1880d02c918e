"""The message bus: topics of ordered partitions, on Kafka or in an SQLite file.

A record's key selects its partition, so the records of one key stay in order. The consumers of a group share the
partitions. A consumer commits an offset after the effect, never before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from chassis.errors import TransientError

__all__ = [
    "MAX_RECORD_BYTES",
    "Bus",
    "BusUnavailable",
    "Consumer",
    "Partition",
    "PartitionRevoked",
    "Record",
    "Topic",
    "size_bytes",
]

MAX_RECORD_BYTES = 1_000_000
"""Size of the largest record that every engine accepts: Kafka's default limit, less the overhead."""
_HEADER_OVERHEAD_BYTES = 10

Partition = tuple[str, int]
"""(topic, number)."""


class BusUnavailable(TransientError):
    """The bus cannot be reached or does not answer in time."""


class PartitionRevoked(Exception):
    """This consumer no longer owns the partition; another one gets the records that are not committed."""


@dataclass(frozen=True)
class Topic:
    """A topic to create. The bus may delete records that are older than `retention_s`."""

    name: str
    partitions: int = 4
    retention_s: float = 7 * 24 * 3600


class Record(NamedTuple):
    """A record. The bus sets `partition`, `offset` and `time` (RFC 3339); a producer omits them."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    partition: int = -1
    offset: int = -1
    time: str = ""


def size_bytes(record: Record) -> int:
    """Return about how many bytes the key, value and headers of a record take."""
    texts = [record.key, *record.headers, *record.headers.values()]
    encoded = sum(len(text.encode(errors="replace")) for text in texts)
    return encoded + len(record.value) + len(record.headers) * _HEADER_OVERHEAD_BYTES


class Consumer(Protocol):
    """A member of the consumer group `group`, for one thread."""

    group: str

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return the next records of the owned partitions, in order within each partition.

        Waits up to `timeout_s` for the first record.
        """

    def heartbeat(self) -> None:
        """Take part in rebalances without polling. Call it while a batch takes long."""

    def owned(self) -> Mapping[Partition, int]:
        """Return the owned partitions, each with a number that changes whenever the partition is assigned again.

        Changes only inside `poll` and `heartbeat`. A partition that is assigned again resumes at its committed offset.
        """

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Record that everything before each offset is done. Raises PartitionRevoked."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Poll from this offset on. Raises PartitionRevoked."""

    def lag(self) -> Mapping[Partition, int]:
        """Return the number of records behind the committed offset, for each owned partition."""

    def close(self) -> None:
        """Leave the group, so that other members take over at once."""


class Bus(Protocol):
    """What an engine does."""

    def ensure_topics(self, topics: Sequence[Topic]) -> None:
        """Create the missing topics. An existing topic keeps its partitions; its retention is updated."""

    def publish(self, records: Sequence[Record], timeout_s: float) -> list[BaseException | None]:
        """Append the records. Return for each None once it is stored durably, or an error if it may not be stored.

        The records of one key keep their order: after one that is not stored, no other of its key is.
        """

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group. Without a committed offset it starts at the earliest record."""

    def ping(self) -> None:
        """Return if the bus answers. Raises BusUnavailable."""

    def close(self) -> None: ...
