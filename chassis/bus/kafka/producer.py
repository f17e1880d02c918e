"""Publishing to Kafka: one idempotent producer, thrown away as soon as it might deliver something late.

A record goes out once the one before it with the same key is acknowledged, and many keys are under way at once. So
nothing that is sent twice, or arrives after its time, can overtake what came after it.

    publish -> a row of lines for each partition -> a line for each key, one of its records under way
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any

from kafka import KafkaProducer
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.partitioner.default import murmur2
from kafka.structs import TopicPartition

from chassis import clock
from chassis.bus import BusUnavailable, Record
from chassis.bus.kafka.cluster import ANSWER, Cluster

LARGEST = 1_000_000
"""Bytes of a record's key, value and headers; what a broker takes by default, less what is around them."""
SETTINGS = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 0,  # a partition has one batch under way, and meanwhile the next one fills
    "batch_size": 256 * 1024,
    "max_request_size": LARGEST,
    "max_block_ms": 1000,  # where a topic is unknown
    "delivery_timeout_ms": 60_000,  # `publish` gives up before
    "metrics_enabled": False,
}
_SENDING = 2 / 3
"""The part of its time in which `publish` sends; the rest is for acknowledgments."""
_END = 2.0

Outcome = BaseException | None
_UNSENT: Outcome = BusUnavailable("not sent")
_Line = tuple[bytes, Iterator[int]]
"""A key, and which of the records are still to be sent under it."""


class Producer:
    """Shared by the threads of a process. Opens nothing yet: a process may fork before it first publishes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._gate = threading.Lock()
        self._client: _Client | None = None

    def publish(self, records: Sequence[Record], timeout: float) -> list[Outcome]:
        """See `chassis.bus.Bus`."""
        began = clock.monotonic()
        try:
            client = self._open(began + max(timeout - ANSWER, timeout / 2))
        except BusUnavailable as error:
            return [error] * len(records)
        sending = _Sending(client, records, began + timeout * _SENDING)
        sound = sending.ended(began + timeout)
        outcomes = sending.told()  # before the end of the producer becomes the reason
        if not sound:
            self._abandon(client)
        return outcomes

    def close(self) -> None:
        if self._client is not None:
            self._abandon(self._client)

    def _open(self, until: float) -> "_Client":
        if not self._gate.acquire(timeout=max(until - clock.monotonic(), 0)):
            raise BusUnavailable("Kafka: no broker has been reached")
        try:
            if self._client is None:
                self._client = self._cluster.connect(_Client, max(until - clock.monotonic(), 0.1), **SETTINGS)
            return self._client
        finally:
            self._gate.release()

    def _abandon(self, client: "_Client") -> None:
        """Let a producer go with all that it still holds; the next publish makes another."""
        with self._gate:
            if self._client is client:
                self._client = None
        client.abandon()


class _Client(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """kafka-python's producer, with two things that it has for its own use."""

    def append(self, partition: TopicPartition, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """As `send`, without what that finds out anew for each record: a fifth of what a relay does."""
        if len(key) + len(value) + sum([len(text) for _, text in headers]) > LARGEST:
            raise ValueError(f"a record has at most {LARGEST} bytes")
        future, is_full, is_new, _ = self._accumulator.append(partition, None, key, value, headers)
        if is_full or is_new:
            self._sender.wakeup()
        return future

    def abandon(self) -> None:
        """Close without sending anything more; its own close() would first send everything, and raise if it cannot."""
        self._sender.force_close()
        self._sender.join(_END)
        with suppress(KafkaTimeoutError):  # where its thread still hangs in the network
            self.close(timeout=0)


class _Sending:
    """The records of one publish: a line for each key, and a row of lines for each partition."""

    def __init__(self, client: _Client, records: Sequence[Record], until: float) -> None:
        self.client, self.records, self._until = client, records, until
        self.outcomes: list[Outcome] = [_UNSENT] * len(records)
        self.going_on = True
        """Whether a line may send its next record."""
        self.ends: SimpleQueue[None] = SimpleQueue()
        """For each row that has ended, an item."""
        self._sound, self._reason = True, "the time is over"
        lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for at, record in enumerate(records):
            lines[record.topic][record.key].append(at)
        rows = [row for topic, keys in lines.items() for row in self._rows(topic, keys)]
        self._left = len(rows)
        for row in rows:
            row.send()

    def ended(self, until: float) -> bool:
        """Wait for every row to end; whether they have, and the producer is still sound."""
        for by in (self._until, until):
            with suppress(Empty):
                while self._left:
                    self.ends.get(timeout=max(by - clock.monotonic(), 0))
                    self._left -= 1
            self.going_on = False
        return self._sound and not self._left

    def told(self) -> list[Outcome]:
        """What became of each record."""
        unsent = BusUnavailable(f"Kafka: not acknowledged: {self._reason}")
        return [unsent if outcome is _UNSENT else outcome for outcome in self.outcomes]

    def refuse(self, unsent: Iterable[int], error: Exception) -> None:
        """The rest of a line is not sent; no other suffers from that."""
        for at in unsent:
            self.outcomes[at] = error

    def stop(self, reason: object) -> None:
        """Nothing more is sent, and by this producer never again."""
        self._reason, self._sound, self.going_on = str(reason), False, False

    def _rows(self, topic: str, keys: dict[str, list[int]]) -> list["_Row"]:
        try:
            count = len(self.client.partitions_for(topic))
        except KafkaError as error:  # and kafka-python would ask for it ten times a second from now on
            self._sound = False
            self.refuse(chain(*keys.values()), BusUnavailable(f"Kafka: {topic}: {error}"))
            return []
        lines: dict[int, list[_Line]] = defaultdict(list)
        for key, unsent in keys.items():
            try:
                lines[placed(key, count)].append((key.encode(), iter(unsent)))
            except UnicodeEncodeError as error:
                self.refuse(unsent, error)
        return [_Row(self, TopicPartition(topic, number), its) for number, its in lines.items()]


class _Row:
    """Lines of one partition that go on together; the producer's own thread sends what comes behind the first records.

    What is done here is done for each record. A partition acknowledges in order, so the last one sent tells of all.
    """

    def __init__(self, sending: _Sending, partition: TopicPartition, lines: list[_Line]) -> None:
        self._sending, self._partition, self._lines = sending, partition, lines
        self._under_way: list[tuple[int, Any]] = []

    def send(self) -> None:
        """Send the next record of each line, and once all of these are acknowledged the ones behind them."""
        sending, lines, self._lines, self._under_way = self._sending, self._lines, [], []
        for line in lines if sending.going_on else ():
            key, rest = line
            at = next(rest, None)
            if at is None:
                continue
            record = sending.records[at]
            try:
                headers = [(name, text.encode()) for name, text in record.headers.items()]
                future = sending.client.append(self._partition, key, bytes(record.value), headers)
            except IllegalStateError as error:  # another publish has abandoned this producer
                sending.refuse(chain([at], rest), BusUnavailable(f"Kafka: {error}"))
            except (KafkaError, TypeError, ValueError) as error:
                sending.refuse(chain([at], rest), error)
            else:
                self._lines.append(line)
                self._under_way.append((at, future))
        if self._under_way:
            self._under_way[-1][1].add_both(self._tell)
        else:
            sending.ends.put(None)

    def _tell(self, _: object) -> None:
        """What became of the records that were under way."""
        sending = self._sending
        for at, future in self._under_way:
            if future.succeeded():
                sending.outcomes[at] = None
            else:  # nobody knows
                sending.stop(future.exception or "out of order")
        self.send()


def placed(key: str, partitions: int) -> int:
    """The partition that Java's client puts this key into."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
