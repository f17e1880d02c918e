"""A bus whose topics and groups have a prefix in the engine, so that several platforms can share one.

Code above sees the names without it: topics in stored data, metrics and traces do not depend on the prefix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from chassis.bus import Bus, Consumer, Partition, Record, Topic


class PrefixedBus:
    """Implements `chassis.bus.Bus` over another one."""

    def __init__(self, bus: Bus, prefix: str) -> None:
        self._bus, self._prefix = bus, prefix

    def ensure_topics(self, topics: Sequence[Topic]) -> None:
        self._bus.ensure_topics([replace(topic, name=self._prefix + topic.name) for topic in topics])

    def publish(self, records: Sequence[Record], timeout_s: float) -> list[BaseException | None]:
        named = [record._replace(topic=self._prefix + record.topic) for record in records]
        return self._bus.publish(named, timeout_s)

    def consumer(self, group: str, topics: Sequence[str]) -> "PrefixedConsumer":
        member = self._bus.consumer(self._prefix + group, [self._prefix + topic for topic in topics])
        return PrefixedConsumer(member, self._prefix)

    def ping(self) -> None:
        self._bus.ping()

    def close(self) -> None:
        self._bus.close()


class PrefixedConsumer:
    """Implements `chassis.bus.Consumer` over another one."""

    def __init__(self, member: Consumer, prefix: str) -> None:
        self._member, self._prefix = member, prefix
        self.group = member.group.removeprefix(prefix)

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        polled = self._member.poll(max_records, timeout_s)
        return [record._replace(topic=record.topic.removeprefix(self._prefix)) for record in polled]

    def heartbeat(self) -> None:
        self._member.heartbeat()

    def owned(self) -> Mapping[Partition, int]:
        return self._without_prefix(self._member.owned())

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._member.commit({self._in_engine(partition): offset for partition, offset in offsets.items()})

    def seek(self, partition: Partition, offset: int) -> None:
        self._member.seek(self._in_engine(partition), offset)

    def lag(self) -> Mapping[Partition, int]:
        return self._without_prefix(self._member.lag())

    def close(self) -> None:
        self._member.close()

    def _in_engine(self, partition: Partition) -> Partition:
        topic, number = partition
        return self._prefix + topic, number

    def _without_prefix(self, values: Mapping[Partition, int]) -> dict[Partition, int]:
        return {(topic.removeprefix(self._prefix), number): value for (topic, number), value in values.items()}
