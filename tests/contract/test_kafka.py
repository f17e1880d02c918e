"""What is Kafka's own: where records are placed, what acknowledges them, how topics are made, life without a broker.

The contract of the port is in test_bus.py.
"""

import gc
import os
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource
from kafka.errors import KafkaConnectionError
from kafka.producer.sender import Sender
from kafka.record.memory_records import MemoryRecords

from chassis import clock
from chassis.bus import BusUnavailable, PartitionRevoked, Record, Topic
from chassis.bus.engines import open_bus
from chassis.bus.kafka import consumer as kafka_consumer
from chassis.bus.kafka.bus import KafkaBus
from chassis.bus.kafka.producer import MAX_RECORD_BYTES, partition_of
from chassis.settings import Settings
from chassis.testing import capture_logs
from tests import engines
from tests.system.running import eventually

NOBODY = "127.0.0.1:1"


def new_name(what="events"):
    return f"{what}-{clock.new_id().lower()}"


@pytest.fixture
def bus(kafka):
    bus = KafkaBus(kafka, session_s=6)
    yield bus
    bus.close()


@pytest.fixture
def topic(bus):
    name = new_name()
    bus.ensure_topics([Topic(name, 4)])
    return name


@pytest.fixture
def admin(kafka):
    with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        yield admin


@pytest.fixture(scope="module")
def broker():
    """One that may be stopped, and its address."""
    engine = engines.Engine("kafka", f"{engines.worker()}-faults")
    address = engine.up()
    yield engine, address
    engine.wipe()


def read(bus, topic, count, seconds=60):
    """The first records of a topic, as a group of its own reads them."""
    return read_until(bus, topic, lambda found: len(found) >= count, seconds)


def read_until(bus, topic, is_complete, seconds=60, extra=0.0):
    """The records of a topic until they are complete, and those that come in the `extra` seconds after that."""
    member, found, until = bus.consumer(new_name("g"), [topic]), [], time.monotonic() + seconds
    while not is_complete(found) and time.monotonic() < until:
        found += member.poll(500, 0.2)
    until = time.monotonic() + extra
    while time.monotonic() < until:
        found += member.poll(500, 0.2)
    member.close()
    return found


def within(seconds, work):
    """What it returns or raises, in time."""
    began = time.monotonic()
    try:
        return work()
    finally:
        assert time.monotonic() - began < seconds


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
def test_a_key_is_placed_where_javas_client_places_it(key, murmur2):
    """The hashes are those of Kafka's own test of its client (UtilsTest.testMurmur2)."""
    assert [partition_of(key, count) for count in (1, 4, 7, 1000)] == [
        (murmur2 & 0x7FFFFFFF) % count for count in (1, 4, 7, 1000)
    ]


def test_records_are_in_the_partition_of_their_key(bus, topic):
    keys = [clock.new_id() for _ in range(20)]
    assert bus.publish([Record(topic, key, b"") for key in keys], 5) == [None] * 20
    assert {record.key: record.partition for record in read(bus, topic, 20)} == {
        key: partition_of(key, 4) for key in keys
    }


def test_every_replica_acknowledges_and_a_record_sent_again_is_told_by_its_number(bus, topic, monkeypatch):
    seen = []
    made = Sender._produce_request

    def noted(sender, node, acks, timeout, batches):
        seen.extend((acks, next(iter(MemoryRecords(batch.records.buffer())))) for batch in batches)
        return made(sender, node, acks, timeout, batches)

    monkeypatch.setattr(Sender, "_produce_request", noted)
    for _ in range(2):
        assert bus.publish([Record(topic, "k", b"")], 5) == [None]
    assert [acks for acks, _ in seen] == [-1, -1]
    assert [batch.base_sequence for _, batch in seen] == [0, 1]
    assert seen[0][1].producer_id == seen[1][1].producer_id >= 0


def test_one_record_of_a_key_is_under_way_at_a_time(bus, topic, monkeypatch):
    batches = []
    made = Sender._produce_request

    def noted(sender, node, acks, timeout, some):
        for batch in some:
            batches.append([record.key for each in MemoryRecords(batch.records.buffer()) for record in each])
        return made(sender, node, acks, timeout, some)

    monkeypatch.setattr(Sender, "_produce_request", noted)
    records = [Record(topic, f"k{n % 10}", str(n).encode()) for n in range(100)]
    assert bus.publish(records, 10) == [None] * 100
    assert sum(map(len, batches)) == 100
    assert all(len(set(keys)) == len(keys) for keys in batches)


def test_a_topic_is_made_as_it_is_asked_for(bus, admin):
    name = new_name()
    bus.ensure_topics([Topic(name, 3, retention_s=3600)])
    (made,) = admin.describe_topics([name])
    assert len(made["partitions"]) == 3
    found = config(admin, name)
    assert (found["retention.ms"], found["segment.ms"], found["min.insync.replicas"]) == ("3600000", "3600000", "1")


def test_ensuring_brings_the_retention_in_line_and_touches_nothing_else(bus, admin):
    name = new_name()
    bus.ensure_topics([Topic(name, 3)])
    admin.alter_configs([ConfigResource("topic", name, {"max.message.bytes": "5000"})])
    bus.ensure_topics([Topic(name, 5, retention_s=60), Topic(new_name(), 1)])
    (made,) = admin.describe_topics([name])
    found = config(admin, name)
    assert (len(made["partitions"]), found["retention.ms"], found["max.message.bytes"]) == (3, "60000", "5000")


def test_a_topic_that_too_few_brokers_could_keep_is_refused_in_words(kafka):
    with closing(KafkaBus(kafka, replication=2)) as bus, pytest.raises(BusUnavailable, match="Replication"):
        bus.ensure_topics([Topic(new_name(), 1)])


def test_nobody_makes_a_topic_by_naming_it(bus, admin):
    name = new_name()
    member = bus.consumer(new_name("g"), [name])
    member.poll(1, 1)
    assert isinstance(bus.publish([Record(name, "k", b"")], 5)[0], BusUnavailable)
    member.close()
    assert admin.describe_topics([name])[0]["error_code"] != 0


def test_a_record_that_is_too_large_fails_alone_and_the_producer_lives_on(bus, topic):
    large = Record(topic, "b", b"x" * (MAX_RECORD_BYTES + 1))
    client = bus._producer._client
    outcomes = bus.publish([Record(topic, "a", b"1"), large, Record(topic, "a", b"2"), Record(topic, "b", b"3")], 5)
    assert [outcome is None for outcome in outcomes] == [True, False, True, False]
    assert not isinstance(outcomes[1], BusUnavailable), "it would be tried again"
    first = bus._producer._client
    assert bus.publish([Record(topic, "b", b"x" * (MAX_RECORD_BYTES - 1000))], 5) == [None]
    assert client is None and first is bus._producer._client
    assert len(read(bus, topic, 3)) == 3


def test_a_topic_that_is_gone_keeps_nobody_past_the_time_of_a_publish(bus, topic, admin):
    assert bus.publish([Record(topic, "a", b"1")], 5) == [None]
    admin.delete_topics([topic])
    eventually(lambda: admin.describe_topics([topic])[0]["error_code"] != 0)
    outcomes = within(20, lambda: bus.publish([Record(topic, f"k{n}", b"1") for n in range(10)], 3))
    assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)


def test_an_error_that_ends_the_producers_order_makes_a_new_one(bus, topic, admin):
    """The broker refuses a batch, and kafka-python has counted its records already."""
    assert bus.publish([Record(topic, "k", b"0")], 5) == [None]
    admin.alter_configs([ConfigResource("topic", topic, {"max.message.bytes": "2000"})])
    outcomes: list[BaseException | None] = []

    def refused() -> bool:
        outcomes.extend(bus.publish([Record(topic, "k", b"x" * 3000)], 5))
        return outcomes[-1] is not None

    eventually(refused)  # a broker learns of its settings a moment later
    assert isinstance(outcomes[-1], BusUnavailable)
    for n in range(1, 4):
        assert bus.publish([Record(topic, "k", str(n).encode())], 5) == [None]
    found = [record.value for record in read(bus, topic, 3 + len(outcomes))]
    assert [value for value in found if len(value) == 1] == [b"0", b"1", b"2", b"3"]


def test_a_bus_made_before_a_fork_works_in_both_processes(kafka, topic):
    bus = KafkaBus(kafka)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if bus.publish([Record(topic, "child", b"")], 5) == [None] else 1
        finally:
            os._exit(code)
    assert bus.publish([Record(topic, "parent", b"")], 5) == [None]
    assert os.waitpid(child, 0)[1] == 0
    bus.close()


def test_what_a_foreign_producer_sends_can_be_read(bus, topic, kafka):
    with closing(KafkaProducer(bootstrap_servers=kafka)) as producer:
        producer.send(topic, b"\xff", None, [("binary", b"\xfe"), ("empty", b"")]).get(5)
        producer.send(topic, None, b"\xfd").get(5)
    first, second = sorted(read(bus, topic, 2), key=lambda record: record.value, reverse=True)
    assert (first.key, first.value, first.headers["empty"]) == ("", b"\xff", "")
    assert (second.value, len(second.key)) == (b"", 1)


def test_a_group_whose_offset_is_gone_goes_on_with_the_oldest_record(bus, topic, admin):
    for n in range(10):
        assert bus.publish([Record(topic, "k", str(n).encode())], 5) == [None]
    group, number = new_name("g"), partition_of("k", 4)
    member = bus.consumer(group, [topic])
    while not member.poll(2, 1):
        pass
    member.commit({(topic, number): 2})
    member.close()
    admin.delete_records({TopicPartition(topic, number): 5})
    heir, found = bus.consumer(group, [topic]), []
    until = time.monotonic() + 60
    while not found and time.monotonic() < until:
        found = heir.poll(50, 1)
    heir.close()
    assert [record.offset for record in found] == [5, 6, 7, 8, 9]


def test_a_member_that_closes_has_left_its_group(bus, topic, admin):
    group = new_name("g")
    member = bus.consumer(group, [topic])
    while len(member.owned()) < 4:
        member.poll(1, 1)
    assert len(admin.describe_groups([group])[group]["members"]) == 1
    member.close()
    assert admin.describe_groups([group])[group]["members"] == []


def test_a_member_that_is_polled_in_short_turns_joins_in_the_end(bus, kafka):
    """kafka-python's own consumer forgets a rebalance that ends between two polls, and is out of its group for good."""
    for _ in range(15):
        name = new_name()
        bus.ensure_topics([Topic(name, 2)])
        member = bus.consumer(new_name("g"), [name])
        until = time.monotonic() + 60
        while len(member.owned()) < 2:
            assert time.monotonic() < until
            member.poll(1, 0.005)
            time.sleep(0.002)
        member.close()


@pytest.mark.parametrize("stays", [True, False])
def test_a_member_in_a_long_batch_keeps_its_place_if_it_says_so(bus, topic, monkeypatch, stays):
    monkeypatch.setitem(kafka_consumer.SETTINGS, "max_poll_interval_ms", 5000)
    member = bus.consumer(new_name("g"), [topic])
    while len(member.owned()) < 4:
        member.poll(1, 1)
    before, until = dict(member.owned()), time.monotonic() + 12
    while time.monotonic() < until:
        time.sleep(0.5)
        if stays:
            member.heartbeat()
    member.poll(1, 2)
    assert (dict(member.owned()) == before) == stays
    member.close()


def test_what_a_rebalance_took_that_fails_is_no_longer_owned(bus, topic, monkeypatch):
    """kafka-python raises where it is asked of a partition that it has not."""
    member = bus.consumer(new_name("g"), [topic])
    while len(member.owned()) < 4:
        member.poll(1, 1)

    def fails(_):
        member._assigned.on_partitions_lost(list(member.owned()))
        member._client._subscription.unsubscribe()
        raise KafkaConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(member, "_finish_rebalance", fails)
        with pytest.raises(BusUnavailable):
            member.heartbeat()
    assert (dict(member.owned()), dict(member.lag())) == ({}, {})
    with pytest.raises(PartitionRevoked):
        member.seek((topic, 0), 0)
    member.close()


def test_without_a_broker_everything_says_so_in_time_and_leaves_nothing_behind():
    bus = KafkaBus(NOBODY)
    member = bus.consumer("g", ["t"])
    record = Record("t", "k", b"x" * 100_000)

    def attempt():
        assert isinstance(within(1.5, lambda: bus.publish([record], 1))[0], BusUnavailable)

    attempt()
    gc.collect()
    before = len(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        attempt()
    for ask in (bus.ping, lambda: bus.ensure_topics([Topic("t")]), lambda: member.poll(1, 1)):
        with pytest.raises(BusUnavailable):
            within(5, ask)
    member.heartbeat()
    gc.collect()
    assert (len(threading.enumerate()), len(list(Path("/proc/self/fd").iterdir()))) == before
    member.close()
    bus.close()


def test_a_server_that_never_answers_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        bus = KafkaBus(f"127.0.0.1:{deaf.getsockname()[1]}")
        assert isinstance(within(2.5, lambda: bus.publish([Record("t", "k", b"")], 2))[0], BusUnavailable)
        with pytest.raises(BusUnavailable):
            within(7, bus.ping)
        bus.close()


def test_several_threads_wait_for_a_broker_together():
    bus, outcomes = KafkaBus(NOBODY), []
    threads = [
        threading.Thread(target=lambda: outcomes.extend(bus.publish([Record("t", "k", b"")], 2))) for _ in range(4)
    ]

    def publish():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    within(20, publish)
    assert len(outcomes) == 4 and all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
    bus.close()


def test_what_could_not_be_delivered_in_time_is_never_delivered(broker):
    engine, address = broker
    bus, topic = KafkaBus(address), new_name()
    bus.ensure_topics([Topic(topic, 1)])
    assert bus.publish([Record(topic, "k", b"early")], 5) == [None]
    engine.kill()
    outcomes = within(20, lambda: bus.publish([Record(topic, "k", b"late"), Record(topic, "other", b"late")], 2))
    assert all(isinstance(outcome, BusUnavailable) for outcome in outcomes)
    engine.start()
    time.sleep(2)  # in which a producer that lived on would deliver it
    until = time.monotonic() + 60
    while bus.publish([Record(topic, "k", b"now")], 5) != [None]:
        assert time.monotonic() < until
    found = read_until(bus, topic, lambda found: b"now" in [record.value for record in found], extra=1)
    values = [record.value for record in found]
    bus.close()
    assert b"late" not in values
    assert values[0] == b"early" and values[-1] == b"now"


def test_a_broker_that_sleeps_is_not_waited_for_and_what_it_finds_when_it_wakes_changes_no_order(broker):
    engine, address = broker
    bus, topic, keys, failed, longest = KafkaBus(address), new_name(), "abcdef", 0, 0.0
    bus.ensure_topics([Topic(topic, 2)])
    until, asleep = time.monotonic() + 90, threading.Event()

    def sleep():
        for _ in range(2):
            time.sleep(1)
            engine.pause()
            time.sleep(4)
            engine.resume()
        asleep.set()

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    step = dict.fromkeys(keys, 0)
    while (not asleep.is_set() or min(step.values()) < 20) and time.monotonic() < until:
        began = time.monotonic()
        outcomes = bus.publish([Record(topic, key, str(step[key]).encode()) for key in keys], 2)
        longest = max(longest, time.monotonic() - began)
        for key, outcome in zip(keys, outcomes, strict=True):
            step[key] += outcome is None  # else the same again, as the relay does
            failed += outcome is not None
    sleeper.join()
    acknowledged = sum(step.values())
    found = read_until(
        bus, topic, lambda found: len({(record.key, record.value) for record in found}) >= acknowledged, extra=1
    )
    bus.close()
    assert failed and longest < 20
    for key in keys:
        values = [int(record.value) for record in found if record.key == key]
        assert list(dict.fromkeys(values)) == list(range(step[key])), "in order, none is missing"
    assert len(found) - sum(step.values()) <= failed, "what came twice was not acknowledged the first time"


def test_it_tells_little_and_no_secret():
    settings = Settings(
        kafka_bootstrap_servers=NOBODY,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="mercato",
        kafka_sasl_password="correct-horse",
    )
    with capture_logs() as lines:
        bus = open_bus(settings)
        for _ in range(3):
            outcomes = bus.publish([Record("t", "k", b"")], 0.5)
            with pytest.raises(BusUnavailable) as raised:
                bus.ping()
        bus.close()
    assert 1 <= len(lines) <= 2
    assert "correct-horse" not in f"{lines} {outcomes} {raised.value!r} {bus!r}"


def test_a_login_without_its_kind_is_refused_in_words():
    with pytest.raises(SystemExit, match="KAFKA_SASL_MECHANISM"):
        open_bus(Settings(kafka_bootstrap_servers=NOBODY, kafka_security_protocol="SASL_SSL"))
