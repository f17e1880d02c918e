"""The Kafka engine: partitions, acknowledgments, topics, forks and foreign producers."""

import os
from contextlib import closing

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource
from kafka.producer.sender import Sender
from kafka.record.memory_records import MemoryRecords
from kafka_topics import new_name, read, within

from chassis import clock
from chassis.bus import BusUnavailable, Record, Topic
from chassis.bus.kafka.bus import KafkaBus
from chassis.bus.kafka.producer import MAX_RECORD_BYTES, partition_of
from tests.system.running import eventually


def config(admin, topic):
    found = admin.describe_configs([ConfigResource("topic", topic)], config_filter="all")
    return {name: each["value"] for name, each in found["topic"][topic].items()}


@pytest.mark.parametrize(
    "key, murmur2",
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_key_selects_the_partition_of_javas_client(key, murmur2):
    """The hashes are those of Kafka's own test of its client (UtilsTest.testMurmur2)."""
    assert [partition_of(key, count) for count in (1, 4, 7, 1000)] == [
        (murmur2 & 0x7FFFFFFF) % count for count in (1, 4, 7, 1000)
    ]


def test_records_are_in_the_partition_of_their_key(kafka_bus, topic):
    keys = [clock.new_id() for _ in range(20)]
    assert kafka_bus.publish([Record(topic, key, b"") for key in keys], 30) == [None] * 20
    assert {record.key: record.partition for record in read(kafka_bus, topic, 20)} == {
        key: partition_of(key, 4) for key in keys
    }


def test_producer_is_idempotent_and_waits_for_all_replicas(kafka_bus, topic, monkeypatch):
    seen = []
    produce_request = Sender._produce_request

    def recorded(sender, node, acks, timeout, batches):
        seen.extend((acks, next(iter(MemoryRecords(batch.records.buffer())))) for batch in batches)
        return produce_request(sender, node, acks, timeout, batches)

    monkeypatch.setattr(Sender, "_produce_request", recorded)
    for _ in range(2):
        assert kafka_bus.publish([Record(topic, "k", b"")], 30) == [None]
    assert [acks for acks, _ in seen] == [-1, -1]
    assert [batch.base_sequence for _, batch in seen] == [0, 1]
    assert seen[0][1].producer_id == seen[1][1].producer_id >= 0


def test_one_record_of_a_key_is_in_flight_at_a_time(kafka_bus, topic, monkeypatch):
    batches = []
    produce_request = Sender._produce_request

    def recorded(sender, node, acks, timeout, some):
        for batch in some:
            batches.append([record.key for each in MemoryRecords(batch.records.buffer()) for record in each])
        return produce_request(sender, node, acks, timeout, some)

    monkeypatch.setattr(Sender, "_produce_request", recorded)
    records = [Record(topic, f"k{n % 10}", str(n).encode()) for n in range(100)]
    assert kafka_bus.publish(records, 10) == [None] * 100
    assert sum(map(len, batches)) == 100
    assert all(len(set(keys)) == len(keys) for keys in batches)


def test_ensure_topics_sets_partitions_and_retention(kafka_bus, admin):
    name = new_name()
    kafka_bus.ensure_topics([Topic(name, 3, retention_s=3600)])
    (described,) = admin.describe_topics([name])
    assert len(described["partitions"]) == 3
    found = config(admin, name)
    assert (found["retention.ms"], found["segment.ms"], found["min.insync.replicas"]) == ("3600000", "3600000", "1")


def test_ensure_topics_updates_only_the_retention(kafka_bus, admin):
    name = new_name()
    kafka_bus.ensure_topics([Topic(name, 3)])
    admin.alter_configs([ConfigResource("topic", name, {"max.message.bytes": "5000"})])
    kafka_bus.ensure_topics([Topic(name, 5, retention_s=60), Topic(new_name(), 1)])
    (described,) = admin.describe_topics([name])
    found = config(admin, name)
    assert (len(described["partitions"]), found["retention.ms"], found["max.message.bytes"]) == (3, "60000", "5000")


def test_ensure_topics_explains_too_few_brokers(kafka):
    with closing(KafkaBus(kafka, replication=2)) as bus, pytest.raises(BusUnavailable, match="Replication"):
        bus.ensure_topics([Topic(new_name(), 1)])


def test_topics_are_not_created_by_using_them(kafka_bus, admin):
    name = new_name()
    member = kafka_bus.consumer(new_name("g"), [name])
    member.poll(1, 1)
    assert isinstance(kafka_bus.publish([Record(name, "k", b"")], 5)[0], BusUnavailable)
    member.close()
    assert admin.describe_topics([name])[0]["error_code"] != 0


def test_record_that_is_too_large_fails_alone(kafka_bus, topic):
    large = Record(topic, "b", b"x" * (MAX_RECORD_BYTES + 1))
    client = kafka_bus._producer._client
    outcomes = kafka_bus.publish(
        [Record(topic, "a", b"1"), large, Record(topic, "a", b"2"), Record(topic, "b", b"3")], 5
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True, False]
    assert not isinstance(outcomes[1], BusUnavailable), "a relay would retry it"
    first = kafka_bus._producer._client
    assert kafka_bus.publish([Record(topic, "b", b"x" * (MAX_RECORD_BYTES - 1000))], 30) == [None]
    assert client is None and first is kafka_bus._producer._client
    assert len(read(kafka_bus, topic, 3)) == 3


def test_publish_to_deleted_topic_fails_in_time(kafka_bus, topic, admin):
    assert kafka_bus.publish([Record(topic, "a", b"1")], 30) == [None]
    admin.delete_topics([topic])
    eventually(lambda: admin.describe_topics([topic])[0]["error_code"] != 0)
    outcomes = within(20, lambda: kafka_bus.publish([Record(topic, f"k{n}", b"1") for n in range(10)], 3))
    assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)


def test_rejected_batch_replaces_the_producer(kafka_bus, topic, admin):
    """The broker rejects a batch after kafka-python has assigned its sequence numbers."""
    assert kafka_bus.publish([Record(topic, "k", b"0")], 30) == [None]
    admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": "2000"})])
    outcomes: list[BaseException | None] = []

    def is_rejected() -> bool:
        outcomes.extend(kafka_bus.publish([Record(topic, "k", b"x" * 3000)], 5))
        return outcomes[-1] is not None

    eventually(is_rejected)  # a broker applies its settings a moment later
    assert isinstance(outcomes[-1], BusUnavailable)
    for n in range(1, 4):
        assert kafka_bus.publish([Record(topic, "k", str(n).encode())], 30) == [None]
    found = [record.value for record in read(kafka_bus, topic, 3 + len(outcomes))]
    assert [value for value in found if len(value) == 1] == [b"0", b"1", b"2", b"3"]


def test_bus_created_before_a_fork_works_in_both_processes(kafka, topic):
    bus = KafkaBus(kafka)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if bus.publish([Record(topic, "child", b"")], 30) == [None] else 1
        finally:
            os._exit(code)
    assert bus.publish([Record(topic, "parent", b"")], 30) == [None]
    assert os.waitpid(child, 0)[1] == 0
    bus.close()


def test_record_of_a_foreign_producer_can_be_read(kafka_bus, topic, kafka):
    with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
        producer.send(topic, b"\xff", None, [("binary", b"\xfe"), ("empty", b"")]).get(5)
        producer.send(topic, None, b"\xfd").get(5)
    first, second = sorted(read(kafka_bus, topic, 2), key=lambda record: record.value, reverse=True)
    assert (first.key, first.value, first.headers["empty"]) == ("", b"\xff", "")
    assert (second.value, len(second.key)) == (b"", 1)
