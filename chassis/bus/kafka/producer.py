"""Publishing to Kafka: an idempotent producer that is discarded as soon as it might deliver something late.

A record leaves once the record before it with the same key is acknowledged; many keys are in flight at once. So no
record that is sent twice, or arrives late, can overtake a later one of its key.

    publish -> one _PartitionQueue for each partition -> one sequence for each key, with one record in flight
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from queue import Empty, SimpleQueue
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.partitioner.default import murmur2
from kafka.structs import TopicPartition

from chassis import clock
from chassis.bus import MAX_RECORD_BYTES, BusUnavailable, Record
from chassis.bus.kafka.cluster import REQUEST_TIMEOUT_S, Cluster

SETTINGS = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 0,  # a partition has one batch in flight, and meanwhile the next one fills
    "batch_size": 256 * 1024,
    "max_request_size": MAX_RECORD_BYTES,
    "max_block_ms": 1000,  # where a topic is unknown
    "delivery_timeout_ms": 60_000,  # `publish` gives up earlier
    "metrics_enabled": False,
}
_SENDING_SHARE = 2 / 3
"""The share of its time in which `publish` sends; the rest is for acknowledgments."""
_CLOSE_TIMEOUT_S = 2.0

Outcome = BaseException | None
_UNSENT: Outcome = BusUnavailable("not sent")
_KeySequence = tuple[bytes, Iterator[int]]
"""A key, and the positions of its records that are not sent yet."""


class Producer:
    """A producer for the threads of a process. It connects at the first publish, so a process may fork before."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock = threading.Lock()
        self._client: _Client | None = None

    def publish(self, records: Sequence[Record], timeout_s: float) -> list[Outcome]:
        """See `chassis.bus.Bus`."""
        started = clock.monotonic()
        try:
            client = self._connected(started + max(timeout_s - REQUEST_TIMEOUT_S, timeout_s / 2))
        except BusUnavailable as error:
            return [error] * len(records)
        publication = _Publication(client, records, started + timeout_s * _SENDING_SHARE)
        is_sound = publication.wait(started + timeout_s)
        outcomes = publication.final_outcomes()  # before `_abandon`, which would fail the rest for its own reason
        if not is_sound:
            self._abandon(client)
        return outcomes

    def close(self) -> None:
        if self._client is not None:
            self._abandon(self._client)

    def _connected(self, until: float) -> "_Client":
        if not self._lock.acquire(timeout=max(until - clock.monotonic(), 0)):
            raise BusUnavailable("Kafka: no broker has been reached")
        try:
            if self._client is None:
                self._client = self._cluster.connect(_Client, max(until - clock.monotonic(), 0.1), **SETTINGS)
            return self._client
        finally:
            self._lock.release()

    def _abandon(self, client: "_Client") -> None:
        """Discard a producer with all that it still holds; the next publish creates another one."""
        with self._lock:
            if self._client is client:
                self._client = None
        client.abandon()


class _Client(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """kafka-python's producer, with two methods that use its private attributes."""

    def append(self, partition: TopicPartition, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """Do what `send` does, without repeating for each record what the caller knows: a fifth of a relay's work."""
        if len(key) + len(value) + sum([len(name) + len(text) for name, text in headers]) > MAX_RECORD_BYTES:
            raise ValueError(f"a record has at most {MAX_RECORD_BYTES} bytes")
        future, is_full, is_new, _ = self._accumulator.append(partition, None, key, value, headers)
        if is_full or is_new:
            self._sender.wakeup()
        return future

    def abandon(self) -> None:
        """Close without sending anything more. `close` alone would send everything first, and raise if it cannot."""
        self._sender.force_close()
        self._sender.join(_CLOSE_TIMEOUT_S)
        with suppress(KafkaTimeoutError):  # its thread may still hang in the network
            self.close(timeout=0)


class _Publication:
    """The records of one `publish`: a sequence for each key, in a queue for each partition."""

    def __init__(self, client: _Client, records: Sequence[Record], until: float) -> None:
        self.client, self.records, self._until = client, records, until
        self.outcomes: list[Outcome] = [_UNSENT] * len(records)
        self.is_sending = True
        """Whether a sequence may send its next record."""
        self.finished: SimpleQueue[None] = SimpleQueue()
        """An item for each queue that has finished."""
        self._is_sound, self._reason = True, "the time is over"
        sequences: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for position, record in enumerate(records):
            sequences[record.topic][record.key].append(position)
        queues = [queue for topic, keys in sequences.items() for queue in self._queues(topic, keys)]
        self._unfinished = len(queues)
        for queue in queues:
            queue.send()

    def wait(self, until: float) -> bool:
        """Wait for every queue to finish. Return whether they have, and the producer is still sound."""
        for by in (self._until, until):
            with suppress(Empty):
                while self._unfinished:
                    self.finished.get(timeout=max(by - clock.monotonic(), 0))
                    self._unfinished -= 1
            self.is_sending = False
        return self._is_sound and not self._unfinished

    def final_outcomes(self) -> list[Outcome]:
        unsent = BusUnavailable(f"Kafka: not acknowledged: {self._reason}")
        return [unsent if outcome is _UNSENT else outcome for outcome in self.outcomes]

    def reject(self, positions: Iterable[int], error: Exception) -> None:
        """Do not send the rest of a sequence; other sequences continue."""
        for position in positions:
            self.outcomes[position] = error

    def stop(self, reason: object) -> None:
        """Send nothing more, and mark the producer as unusable."""
        self._reason, self._is_sound, self.is_sending = str(reason), False, False

    def _queues(self, topic: str, keys: dict[str, list[int]]) -> list["_PartitionQueue"]:
        try:
            count = len(self.client.partitions_for(topic))
        except KafkaError as error:  # kafka-python would ask for this topic ten times a second from now on
            self._is_sound = False
            self.reject(chain(*keys.values()), BusUnavailable(f"Kafka: {topic}: {error}"))
            return []
        sequences: dict[int, list[_KeySequence]] = defaultdict(list)
        for key, positions in keys.items():
            try:
                sequences[partition_of(key, count)].append((key.encode(), iter(positions)))
            except UnicodeEncodeError as error:
                self.reject(positions, error)
        return [_PartitionQueue(self, TopicPartition(topic, number), some) for number, some in sequences.items()]


class _PartitionQueue:
    """The sequences of one partition. The caller sends the first records, the producer's own thread all that follow.

    This code runs for each record. A partition acknowledges in order, so one callback on the last record is enough.
    """

    def __init__(self, publication: _Publication, partition: TopicPartition, sequences: list[_KeySequence]) -> None:
        self._publication, self._partition, self._sequences = publication, partition, sequences
        self._in_flight: list[tuple[int, Any]] = []

    def send(self) -> None:
        """Send the next record of each sequence, and once all of these are acknowledged the ones after them."""
        publication, sequences, self._sequences, self._in_flight = self._publication, self._sequences, [], []
        for sequence in sequences if publication.is_sending else ():
            key, rest = sequence
            position = next(rest, None)
            if position is None:
                continue
            record = publication.records[position]
            try:
                headers = [(name, text.encode()) for name, text in record.headers.items()]
                future = publication.client.append(self._partition, key, bytes(record.value), headers)
            except KafkaError as error:  # the buffer is full, or another publish has abandoned this producer
                publication.reject(chain([position], rest), BusUnavailable(f"Kafka: {error}"))
            except Exception as error:  # the record itself, such as its size
                publication.reject(chain([position], rest), error)
            else:
                self._sequences.append(sequence)
                self._in_flight.append((position, future))
        if self._in_flight:
            self._in_flight[-1][1].add_both(self._acknowledged)
        else:
            publication.finished.put(None)

    def _acknowledged(self, _: object) -> None:
        """Note the outcomes of the records that were in flight, and send the next ones."""
        publication = self._publication
        for position, future in self._in_flight:
            if future.succeeded():
                publication.outcomes[position] = None
            else:  # the record may be stored or not
                publication.stop(future.exception or "out of order")
        self.send()


def partition_of(key: str, partitions: int) -> int:
    """Return the partition that Java's client selects for this key."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
