"""Publishing to Kafka: one idempotent producer, thrown away as soon as it might deliver something late.

A record goes out once the one before it with the same key is acknowledged, and many keys are under way at once. So
nothing that is sent twice, or arrives after its time, can overtake what came after it.
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

from chassis import clock
from chassis.bus import BusDown, Record
from chassis.bus.kafkacluster import ANSWER, Cluster

LARGEST = 1_000_000
"""Bytes of a record; what a broker takes by default, less what is around it."""
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
"""The part of its time in which `publish` sends; the rest is for acknowledgements."""
_END = 2.0

Outcome = BaseException | None
_UNSENT: Outcome = BusDown("not sent")


class Producer:
    """Shared by the threads of a process. Opens nothing yet: a process may fork before it first publishes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._gate = threading.Lock()
        self._client: Any = None

    def publish(self, records: Sequence[Record], timeout: float) -> list[Outcome]:
        """See `chassis.bus.Bus`."""
        began = clock.monotonic()
        try:
            client = self._open(began + max(timeout - ANSWER, timeout / 2))
        except BusDown as error:
            return [error] * len(records)
        sending = _Sending(client, records, began + timeout * _SENDING)
        if not sending.ended(began + timeout):
            self._abandon(client)
        return sending.told()

    def close(self) -> None:
        if self._client is not None:
            self._abandon(self._client)

    def _open(self, until: float) -> Any:
        if not self._gate.acquire(timeout=max(until - clock.monotonic(), 0)):
            raise BusDown("Kafka: no broker has been reached")
        try:
            if self._client is None:
                self._client = self._cluster.connect(KafkaProducer, max(until - clock.monotonic(), 0.1), **SETTINGS)
            return self._client
        finally:
            self._gate.release()

    def _abandon(self, client: Any) -> None:
        """Let a producer go with all that it still holds; the next publish makes another."""
        with self._gate:
            if self._client is client:
                self._client = None
        client._sender.force_close()  # its own close() would first send everything, and raise if it cannot
        client._sender.join(_END)
        with suppress(KafkaTimeoutError):  # where its thread still hangs in the network
            client.close(timeout=0)


class _Sending:
    """The records of one publish, as a line for each key."""

    def __init__(self, client: Any, records: Sequence[Record], until: float) -> None:
        self.client, self.records, self._until = client, records, until
        self.outcomes: list[Outcome] = [_UNSENT] * len(records)
        self.going_on = True
        """Whether a line may send its next record."""
        self.ends: SimpleQueue[bool] = SimpleQueue()
        """For each line that has ended, whether the producer is still sound."""
        self._failure = "the time is over"
        lines: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for at, record in enumerate(records):
            lines[record.topic][record.key].append(at)
        self._lines = sum(map(len, lines.values()))
        for topic, keys in lines.items():
            self._begin(topic, keys)

    def ended(self, until: float) -> bool:
        """Wait for every line to end; whether they have, and the producer is still sound."""
        sound = True
        for by in (self._until, until):
            with suppress(Empty):
                while self._lines:
                    sound &= self.ends.get(timeout=max(by - clock.monotonic(), 0))
                    self._lines -= 1
            self.going_on = False
        return sound and not self._lines

    def told(self) -> list[Outcome]:
        """What became of each record."""
        unsent = BusDown(f"Kafka: not acknowledged: {self._failure}")
        return [unsent if outcome is _UNSENT else outcome for outcome in self.outcomes]

    def failed(self, error: Exception) -> None:
        """A record was sent and what became of it is unknown: its producer must send nothing more."""
        self._failure, self.going_on = str(error), False
        self.ends.put(False)

    def _begin(self, topic: str, keys: dict[str, list[int]]) -> None:
        """Send the first record of each key."""
        try:
            count = len(self.client.partitions_for(topic))
        except KafkaError as error:  # and kafka-python would ask for it ten times a second from now on
            for unsent in keys.values():
                self.end(unsent, BusDown(f"Kafka: {topic}: {error}"), sound=False)
            return
        for key, unsent in keys.items():
            if clock.monotonic() >= self._until:  # a send waits where its topic is no longer known
                self.going_on = False
            try:
                line = _Line(self, key.encode(), placed(key, count), iter(unsent))
            except UnicodeEncodeError as error:
                self.end(unsent, error)
            else:
                line.send()

    def end(self, unsent: Iterable[int], error: Exception, sound: bool = True) -> None:
        """The rest of a line is not sent; no other suffers from that."""
        for at in unsent:
            self.outcomes[at] = error
        self.ends.put(sound)


class _Line:
    """The records of one key. The producer's own thread sends the next one: what is done here is done for each."""

    __slots__ = ("_at", "_key", "_partition", "_rest", "_sending")

    def __init__(self, sending: _Sending, key: bytes, partition: int, rest: Iterator[int]) -> None:
        self._sending, self._key, self._partition, self._rest = sending, key, partition, rest
        self._at = -1

    def send(self) -> None:
        """Send the next record, and once it is acknowledged the one behind it."""
        sending = self._sending
        at = next(self._rest, None) if sending.going_on else None
        if at is None:
            sending.ends.put(True)
            return
        record, self._at = sending.records[at], at
        try:
            headers = [(name, text.encode()) for name, text in record.headers.items()]
            future = sending.client.send(record.topic, bytes(record.value), self._key, headers, self._partition)
        except (IllegalStateError, KafkaTimeoutError) as error:
            sending.end(chain([at], self._rest), BusDown(f"Kafka: {error}"))
        except (KafkaError, TypeError, ValueError) as error:
            sending.end(chain([at], self._rest), error)
        else:
            future.add_callback(self._acknowledged)
            future.add_errback(sending.failed)

    def _acknowledged(self, _: object) -> None:
        self._sending.outcomes[self._at] = None
        self.send()


def placed(key: str, partitions: int) -> int:
    """The partition that Java's client puts this key into."""
    return int((murmur2(key.encode()) & 0x7FFFFFFF) % partitions)
