"""A member of a consumer group on Kafka.

It takes part in a rebalance inside `poll`, and inside `heartbeat` while a batch takes long, because all other members
wait for it. Partitions that it keeps also keep the records that were fetched (cooperative-sticky assignor).
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
from chassis.bus.kafka.cluster import REQUEST_TIMEOUT_S, Cluster, translated_errors

SETTINGS = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "max_poll_interval_ms": 60_000,  # for one event; a member that takes longer counts as stuck
    "fetch_max_wait_ms": 500,
    "fetch_max_bytes": 4 * 1024 * 1024,
    "max_partition_fetch_bytes": 128 * 1024,  # so that each partition gets its turn
    "metrics_enabled": False,
}
_FREE_RETRIES, _RETRY_PAUSE_S = 3, 0.1
"""kafka-python retries without a pause what an absent broker refuses at once: from the fourth try on, we pause."""
_MEMBERSHIP_LOST = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


class KafkaConsumer:
    """Implements `chassis.bus.Consumer`. Joins the group at the first poll, so it can be created without a broker."""

    def __init__(self, cluster: Cluster, group: str, topics: Sequence[str], session_s: float) -> None:
        self._cluster, self.group, self._topics, self._session_s = cluster, group, list(topics), session_s
        self._client: Any = None
        self._assigned = _Assignment()
        self._owned: Mapping[Partition, int] = {}
        self._joining: Any = None
        self._tries = 0
        """Iterations of kafka-python's own loop, in this poll."""

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        client = self._client or self._connect()
        self._tries = 0
        try:
            with translated_errors():
                found = client.poll(timeout_ms=round(timeout_s * 1000), max_records=max_records)
        except BusUnavailable:
            raise
        except Exception:  # a defect of kafka-python, such as the end of its thread: join again
            self.close()
            raise
        self._owned = self._assigned.partitions
        for partition, page in found.items():
            self._assigned.committed.setdefault(partition, page[0].offset)
        return [_record(each) for page in found.values() for each in page]

    def heartbeat(self) -> None:
        if self._client is None:
            return
        try:
            with translated_errors():
                self._finish_rebalance(self._session_s * 1000)
        finally:
            self._owned = self._assigned.partitions  # a rebalance that fails has revoked some, too

    def owned(self) -> Mapping[Partition, int]:
        return self._owned

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if self._joining is not None:
            with translated_errors():
                self._finish_rebalance(self._session_s * 1000)  # until then nothing can be committed
        mine = {each: offsets[each] for each in self._held() if each in offsets}
        if mine:
            self._commit(mine)
            self._assigned.committed.update(mine)
        if revoked := offsets.keys() - mine.keys():
            raise PartitionRevoked(_names(revoked))

    def seek(self, partition: Partition, offset: int) -> None:
        if partition not in self._held():
            raise PartitionRevoked(_names([partition]))
        self._client.seek(kafka.TopicPartition(*partition), offset)

    def lag(self) -> Mapping[Partition, int]:
        """Return the lag as of the last fetch response; omits a partition that had none yet."""
        found = {}
        for partition in map(kafka.TopicPartition._make, self._held()):
            end = self._client.highwater(partition)
            done = self._assigned.committed.get(partition)
            if done is None:
                done = self._client.position(partition, timeout_ms=0)
            if end is not None and done is not None:
                found[tuple(partition)] = max(end - done, 0)
        return found

    def _held(self) -> set[Partition]:
        """Return what is owned without a break since the last poll: a broker accepts offsets of foreign partitions."""
        return {partition for partition, _ in self._owned.items() & self._assigned.partitions.items()}

    def close(self) -> None:
        client, self._client = self._client, None
        self._owned, self._joining = {}, None
        if client is not None:
            client.close(autocommit=False, timeout_ms=REQUEST_TIMEOUT_S * 1000)

    def _connect(self) -> Any:
        self._assigned = _Assignment()
        client = self._cluster.connect(
            kafka.KafkaConsumer,
            REQUEST_TIMEOUT_S,
            group_id=self.group,
            session_timeout_ms=round(self._session_s * 1000),
            heartbeat_interval_ms=round(self._session_s * 100),
            partition_assignment_strategy=[self._assigned.assignor],
            **SETTINGS,
        )
        client.subscribe(self._topics, listener=self._assigned)
        client._coordinator.poll = self._finish_rebalance
        with suppress(KafkaError):  # without the topics' metadata it would join in vain, and join again
            client._net.run(client._manager.wait_for, client._cluster.request_update(), REQUEST_TIMEOUT_S * 1000)
        self._client = client
        return client

    def _finish_rebalance(self, timeout_ms: float) -> bool:
        """Take part in rebalances until there is none. Return whether that is so in time.

        Replaces the `poll` of kafka-python's coordinator, which forgets a rebalance that ends between two polls: it
        begins another one, or stays out of the group for good. This one continues a rebalance until it is over.
        """
        self._tries += 1
        if self._tries > _FREE_RETRIES:
            clock.sleep(min(_RETRY_PAUSE_S, timeout_ms / 1000))
        until = clock.monotonic() + timeout_ms / 1000
        coordinator, loop = self._client._coordinator, self._client._manager
        while self._joining is not None or coordinator.need_rejoin() or not coordinator.stable():
            if self._joining is None:
                coordinator.request_rejoin()
                self._joining = loop.call_soon(coordinator.ensure_active_group_async)
            with suppress(KafkaError):  # `_joining` holds it, too
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
        with translated_errors():
            try:
                self._client.commit(wanted, timeout_ms=REQUEST_TIMEOUT_S * 1000)
            except _MEMBERSHIP_LOST as error:
                raise PartitionRevoked(_names(offsets)) from error


class _Assignment(kafka.ConsumerRebalanceListener):  # type: ignore[misc]  # a base class without types
    """What the group has assigned to this member. kafka-python calls it inside `poll`, from its own thread."""

    def __init__(self) -> None:
        self.assignor = CooperativeStickyAssignor()
        self.partitions: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        """The committed offset: by this member, or else where it started."""
        self._numbers = count(1)

    def on_partitions_assigned(self, assigned: Iterable[Partition]) -> None:
        self.partitions = self.partitions | {partition: next(self._numbers) for partition in assigned}

    def on_partitions_revoked(self, revoked: Iterable[Partition]) -> None:
        gone = set(revoked)
        self.partitions = {partition: number for partition, number in self.partitions.items() if partition not in gone}
        self.committed = {partition: offset for partition, offset in self.committed.items() if partition not in gone}

    def on_partitions_lost(self, lost: Iterable[Partition]) -> None:
        self.on_partitions_revoked(lost)
        self.assignor.member_assignment = None  # or it would claim them when it joins again


def _record(polled: Any) -> Record:
    """Return what was polled as a Record. Invalid UTF-8 of a foreign producer is replaced; the reader rejects it."""
    return Record(
        polled.topic,
        _text(polled.key),
        polled.value or b"",
        {name: _text(value) for name, value in polled.headers},
        polled.partition,
        polled.offset,
        clock.timestamp(datetime.fromtimestamp(polled.timestamp / 1000, UTC)),
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _names(partitions: Iterable[Partition]) -> str:
    return ", ".join(f"{topic}/{number}" for topic, number in sorted(partitions))
