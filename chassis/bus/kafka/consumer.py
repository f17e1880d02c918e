"""A member of a consumer group over Kafka.

It takes part in a rebalance inside `poll`, and inside `heartbeat` where a batch takes long: all others wait for it. Then
it keeps those partitions that are still its own, with all that was fetched of them (cooperative-sticky).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from chassis import clock
from chassis.bus import BusUnavailable, Partition, PartitionRevoked, Record
from chassis.bus.kafka.cluster import ANSWER, Cluster, trouble

SETTINGS = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "max_poll_interval_ms": 60_000,  # for one event; then its member counts as stuck, and the others wait no longer
    "fetch_max_wait_ms": 500,
    "fetch_max_bytes": 4 * 1024 * 1024,
    "max_partition_fetch_bytes": 128 * 1024,  # of one partition, before another has its turn
    "metrics_enabled": False,
}
_ROUNDS, _PAUSE = 3, 0.1
"""kafka-python asks again and again, without a pause, for what a broker that is away refuses at once: we make one."""
_GONE = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


class KafkaConsumer:
    """Implements `chassis.bus.Consumer`. Joins at the first poll: a broker that is down keeps nobody from starting."""

    def __init__(self, cluster: Cluster, group: str, topics: Sequence[str], session: float) -> None:
        self._cluster, self._group, self._topics, self._session = cluster, group, list(topics), session
        self._client: Any = None
        self._given = _Given()
        self._owned: Mapping[Partition, int] = {}
        self._joining: Any = None
        self._rounds = 0
        """Of kafka-python's own loop, in this poll."""

    def poll(self, limit: int, wait: float) -> list[Record]:
        client = self._client or self._connected()
        self._rounds = 0
        try:
            with trouble():
                found = client.poll(timeout_ms=round(wait * 1000), max_records=limit)
        except BusUnavailable:
            raise
        except Exception:  # a defect of kafka-python, such as the end of its thread: join anew
            self.close()
            raise
        self._owned = self._given.owned
        for partition, page in found.items():
            self._given.done.setdefault(partition, page[0].offset)
        return [_record(each) for page in found.values() for each in page]

    def heartbeat(self) -> None:
        if self._client is None:
            return
        try:
            with trouble():
                self._settled(self._session * 1000)
        finally:
            self._owned = self._given.owned  # a rebalance that fails has taken them, too

    def owned(self) -> Mapping[Partition, int]:
        return self._owned

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if self._joining is not None:
            with trouble():
                self._settled(self._session * 1000)  # until then nothing can be committed
        mine = {each: offsets[each] for each in self._held() if each in offsets}
        if mine:
            self._commit(mine)
            self._given.done.update(mine)
        if lost := offsets.keys() - mine.keys():
            raise PartitionRevoked(_named(lost))

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._held():
            raise PartitionRevoked(_named([partition]))
        self._client.seek(kafka.TopicPartition(*partition), offset)

    def lag(self) -> Mapping[Partition, int]:
        """As of the last answer to a fetch; where none has come yet, a partition is left out."""
        found = {}
        for partition in map(kafka.TopicPartition._make, self._held()):
            end = self._client.highwater(partition)
            done = self._given.done.get(partition)
            if done is None:
                done = self._client.position(partition, timeout_ms=0)
            if end is not None and done is not None:
                found[tuple(partition)] = max(end - done, 0)
        return found

    def _held(self) -> set[Partition]:
        """What has been its own since it last polled; a broker would take offsets of what is another's meanwhile."""
        return {partition for partition, _ in self._owned.items() & self._given.owned.items()}

    def close(self) -> None:
        client, self._client = self._client, None
        self._owned, self._joining = {}, None
        if client is not None:
            client.close(autocommit=False, timeout_ms=ANSWER * 1000)

    def _connected(self) -> Any:
        self._given = _Given()
        client = self._cluster.connect(
            kafka.KafkaConsumer,
            ANSWER,
            group_id=self._group,
            session_timeout_ms=round(self._session * 1000),
            heartbeat_interval_ms=round(self._session * 100),
            partition_assignment_strategy=[self._given.assignor],
            **SETTINGS,
        )
        client.subscribe(self._topics, listener=self._given)
        client._coordinator.poll = self._settled
        with suppress(KafkaError):  # without its partitions it would join for nothing, and then again
            client._net.run(client._manager.wait_for, client._cluster.request_update(), ANSWER * 1000)
        self._client = client
        return client

    def _settled(self, timeout_ms: float) -> bool:
        """Take part in rebalances until there is none; whether that is so in time.

        Stands in for the `poll` of kafka-python's coordinator, which forgets a rebalance that ends between two polls:
        it begins another one, or is out of the group for good. Here each goes on until it is over.
        """
        self._rounds += 1
        if self._rounds > _ROUNDS:
            clock.sleep(min(_PAUSE, timeout_ms / 1000))
        until = clock.monotonic() + timeout_ms / 1000
        coordinator, loop = self._client._coordinator, self._client._manager
        while self._joining is not None or coordinator.need_rejoin() or not coordinator.stable():
            if self._joining is None:
                coordinator.request_rejoin()
                self._joining = loop.call_soon(coordinator.ensure_active_group_async)
            with suppress(KafkaError):  # it shows in what is waited for
                loop.run(loop.wait_for, self._joining, max(until - clock.monotonic(), 0.0) * 1000)
            if not self._joining.is_done:
                return False
            joined, self._joining = self._joining, None
            if joined.failed():
                raise joined.exception
        coordinator.poll_heartbeat()
        return True

    def _commit(self, offsets: Mapping[Partition, int]) -> None:
        wanted = {
            kafka.TopicPartition(*each): kafka.OffsetAndMetadata(offset, "", -1) for each, offset in offsets.items()
        }
        with trouble():
            try:
                self._client.commit(wanted, timeout_ms=ANSWER * 1000)
            except _GONE as error:
                raise PartitionRevoked(_named(offsets)) from error


class _Given(kafka.ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python asks for it, and has no types
    """What the group has given this member. kafka-python tells of it inside `poll`, from its own thread."""

    def __init__(self) -> None:
        self.assignor = CooperativeStickyAssignor()
        self.owned: dict[Partition, int] = {}
        self.done: dict[Partition, int] = {}
        """What is committed of it: by this member, or else where it began."""
        self._numbers = count(1)

    def on_partitions_assigned(self, assigned: Iterable[Partition]) -> None:
        self.owned = self.owned | {partition: next(self._numbers) for partition in assigned}

    def on_partitions_revoked(self, revoked: Iterable[Partition]) -> None:
        gone = set(revoked)
        self.owned = {partition: number for partition, number in self.owned.items() if partition not in gone}
        self.done = {partition: offset for partition, offset in self.done.items() if partition not in gone}

    def on_partitions_lost(self, lost: Iterable[Partition]) -> None:
        self.on_partitions_revoked(lost)
        self.assignor.member_assignment = None  # or it would claim them when it joins again


def _record(given: Any) -> Record:
    """As it was polled. What is no UTF-8, from a foreign producer, is for the reader to find unreadable."""
    return Record(
        given.topic,
        _text(given.key),
        given.value or b"",
        {name: _text(value) for name, value in given.headers},
        given.partition,
        given.offset,
        clock.timestamp(datetime.fromtimestamp(given.timestamp / 1000, UTC)),
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _named(partitions: Iterable[Partition]) -> str:
    return ", ".join(f"{topic}/{number}" for topic, number in sorted(partitions))
