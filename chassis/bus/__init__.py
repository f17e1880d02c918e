"""The log port: topics of ordered partitions, over Kafka or an embedded log.

A record's key decides its partition, so the records of one key keep their order. Consumers of a group share the
partitions; an offset is committed after the effect, never before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol

from chassis.errors import TransientError

__all__ = ["Bus", "BusUnavailable", "Consumer", "PartitionRevoked", "Partition", "Record", "Topic"]

Partition = tuple[str, int]
"""(topic, number)."""


class BusUnavailable(TransientError):
    """The log cannot be reached or does not answer in time."""


class PartitionRevoked(Exception):
    """This consumer no longer owns the partition: what it did not commit comes to another."""


@dataclass(frozen=True)
class Topic:
    """`retention` in seconds, after which records may go."""

    name: str
    partitions: int = 4
    retention: float = 7 * 24 * 3600


class Record(NamedTuple):
    """`partition`, `offset` and `time` (RFC 3339) are set by the log; a producer leaves them out."""

    topic: str
    key: str
    value: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    partition: int = -1
    offset: int = -1
    time: str = ""


class Consumer(Protocol):
    """One member of a group. Not for use by two threads."""

    def poll(self, limit: int, wait: float) -> list[Record]:
        """Up to `limit` records of the owned partitions, in order in each, behind the last polled.

        Waits up to `wait` seconds for the first.
        """

    def heartbeat(self) -> None:
        """Take part in the group without taking records, where what was polled takes long to handle."""

    def owned(self) -> Mapping[Partition, int]:
        """The partitions that are this member's now, each with a number that is another whenever it was given anew.

        It changes only inside `poll` and `heartbeat`. What is given anew is polled from its committed offset on.
        """

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Record that everything before each offset is done. Raises PartitionRevoked for a partition that is owned no longer."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Poll from this offset again."""

    def lag(self) -> Mapping[Partition, int]:
        """For each owned partition, how many records wait behind the committed offset."""

    def close(self) -> None:
        """Leave the group, so that others take over at once."""


class Bus(Protocol):
    def ensure_topics(self, topics: Sequence[Topic]) -> None:
        """Make the topics; where they are there, their partitions stay, and only their retention is brought in line."""

    def publish(self, records: Sequence[Record], timeout: float) -> list[BaseException | None]:
        """Append the records; for each None once it is stored safely, or why not. An error leaves its fate unknown.

        Records of one key go in their order: behind one that is not stored, none of its key is.
        """

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group, from the earliest record on where it has committed nothing."""

    def ping(self) -> None:
        """Return if the log answers, else raise BusUnavailable."""

    def close(self) -> None: ...
