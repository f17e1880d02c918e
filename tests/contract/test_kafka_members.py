"""The Kafka engine: how a member of a group joins, stays and leaves."""

import time

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError
from kafka_topics import new_name

from chassis.bus import BusUnavailable, PartitionRevoked, Record, Topic
from chassis.bus.kafka import consumer as kafka_consumer
from chassis.bus.kafka.producer import partition_of


def test_group_whose_offset_is_gone_resumes_at_the_oldest(kafka_bus, topic, admin):
    for n in range(10):
        assert kafka_bus.publish([Record(topic, "k", str(n).encode())], 30) == [None]
    group, number = new_name("g"), partition_of("k", 4)
    member = kafka_bus.consumer(group, [topic])
    while not member.poll(2, 1):
        pass
    member.commit({(topic, number): 2})
    member.close()
    admin.delete_records({TopicPartition(topic, number): 5})
    successor, found = kafka_bus.consumer(group, [topic]), []
    until = time.monotonic() + 60
    while not found and time.monotonic() < until:
        found = successor.poll(50, 1)
    successor.close()
    assert [record.offset for record in found] == [5, 6, 7, 8, 9]


def test_closed_member_has_left_its_group(kafka_bus, topic, admin):
    group = new_name("g")
    member = kafka_bus.consumer(group, [topic])
    while len(member.owned()) < 4:
        member.poll(1, 1)
    assert len(admin.describe_groups([group])[group]["members"]) == 1
    member.close()
    assert admin.describe_groups([group])[group]["members"] == []


def test_member_that_polls_briefly_joins_eventually(kafka_bus, kafka):
    """kafka-python's own consumer forgets a rebalance that ends between two polls, and stays out of its group."""
    for _ in range(15):
        name = new_name()
        kafka_bus.ensure_topics([Topic(name, 2)])
        member = kafka_bus.consumer(new_name("g"), [name])
        until = time.monotonic() + 60
        while len(member.owned()) < 2:
            assert time.monotonic() < until
            member.poll(1, 0.005)
            time.sleep(0.002)
        member.close()


@pytest.mark.parametrize("beats", [True, False])
def test_heartbeat_keeps_membership_during_a_long_batch(kafka_bus, topic, monkeypatch, beats):
    monkeypatch.setitem(kafka_consumer.SETTINGS, "max_poll_interval_ms", 5000)
    member = kafka_bus.consumer(new_name("g"), [topic])
    while len(member.owned()) < 4:
        member.poll(1, 1)
    before, until = dict(member.owned()), time.monotonic() + 12
    while time.monotonic() < until:
        time.sleep(0.5)
        if beats:
            member.heartbeat()
    member.poll(1, 2)
    assert (dict(member.owned()) == before) == beats
    member.close()


def test_failed_rebalance_revokes_partitions(kafka_bus, topic, monkeypatch):
    """kafka-python raises if it is asked for a partition that it does not own."""
    member = kafka_bus.consumer(new_name("g"), [topic])
    while len(member.owned()) < 4:
        member.poll(1, 1)

    def failing(_):
        member._assigned.on_partitions_lost(list(member.owned()))
        member._client._subscription.unsubscribe()
        raise KafkaConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(member, "_finish_rebalance", failing)
        with pytest.raises(BusUnavailable):
            member.heartbeat()
    assert (dict(member.owned()), dict(member.lag())) == ({}, {})
    with pytest.raises(PartitionRevoked):
        member.seek((topic, 0), 0)
    member.close()
