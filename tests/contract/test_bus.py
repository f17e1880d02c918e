"""The bus's contract: records, order, offsets and topics."""

import time

import pytest
import workers
from topics import end_offsets, poll_records, poll_until

from chassis import clock

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)


def test_record_is_returned_unchanged(events):
    events.publish([events.record("ключ", b"\x00\xff", {"ce_type": "é", "x": ""})])
    (record,) = poll_records(events.member(), 1)
    assert (record.key, record.value, dict(record.headers)) == ("ключ", b"\x00\xff", {"ce_type": "é", "x": ""})
    assert record.offset == 0
    assert abs(clock.seconds_since(record.time)) < 30


def test_records_of_a_key_stay_in_one_partition_and_in_order(events):
    for start in range(0, 100, 10):
        events.publish(events.records(100)[start : start + 10])
    found = poll_records(events.member(), 100)
    for key in "abcdefgh":
        mine = [record for record in found if record.key == key]
        assert len({record.partition for record in mine}) == 1
        assert [int(record.value) for record in mine] == sorted(int(record.value) for record in mine)
    assert len({record.partition for record in found}) > 1


def test_offsets_rise_by_one_from_zero_in_each_partition(events):
    events.publish(events.records(50))
    events.publish(events.records(50))
    found = poll_records(events.member(), 100)
    for partition in {record.partition for record in found}:
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_new_group_starts_at_the_earliest_record(events):
    events.publish(events.records(5))
    one = events.member("one")
    one.commit(end_offsets(poll_records(one, 5)))
    assert len(poll_records(events.member("other"), 5)) == 5


def test_poll_continues_and_returns_at_most_max_records(events):
    events.publish(events.records(20))
    member = events.member()
    found = []
    while len(found) < 20:
        page = member.poll(3, 0.2)
        assert len(page) <= 3
        found += page
    assert len({(record.partition, record.offset) for record in found}) == 20
    assert member.poll(3, 0) == []


def test_busy_partition_starves_no_other(events):
    member = events.member()
    events.publish([events.record("a", b"x" * 5000) for _ in range(200)])
    events.publish(events.records(1, keys="d") + events.records(1, keys="e") + events.records(1, keys="f"))
    polled = []
    while len({record.partition for record in polled}) < 2:
        polled += member.poll(10, 1)
    assert len(polled) < 150


def test_poll_waits_for_a_record_and_wakes_soon(engine, events):
    member = events.member()
    poll_until(member.owned, member)
    started = time.monotonic()
    assert member.poll(1, 0.3) == []
    assert time.monotonic() - started >= 0.29
    with workers.working((workers.publish, engine, "p", events.full_name("events"), "a", 1)) as (publisher,):
        assert publisher.pipe.recv() == "ready"
        publisher.pipe.send("go")
        started = time.monotonic()
        assert member.poll(1, 60)
        assert time.monotonic() - started < 30


def test_only_uncommitted_records_are_redelivered(events):
    events.publish(events.records(10, keys="a"))
    one = events.member()
    page = one.poll(4, 15)
    one.commit(end_offsets(page))
    one.poll(3, 5)
    one.close()
    assert [int(record.value) for record in poll_records(events.member(), 6)] == [4, 5, 6, 7, 8, 9]


def test_seek_repeats_records(events):
    events.publish(events.records(5, keys="a"))
    member = events.member()
    found = poll_records(member, 5)
    member.seek((found[0].topic, found[0].partition), 2)
    assert [record.offset for record in poll_records(member, 3)] == [2, 3, 4]


def test_lag_counts_records_after_the_committed_offset(events):
    events.publish(events.records(5, keys="a"))
    member = events.member()
    found = poll_records(member, 5)
    partition = found[0].topic, found[0].partition
    lag = {events.partition(n): 5 if n == partition[1] else 0 for n in range(4)}
    poll_until(lambda: dict(member.lag()) == lag, member)
    member.commit({partition: 3})
    assert member.lag()[partition] == 2
    events.publish(events.records(5, keys="a"))
    poll_until(lambda: member.lag()[partition] == 7, member)


def test_lag_of_new_member_starts_at_the_committed_offset(events):
    events.publish(events.records(5, keys="a"))
    one = events.member()
    page = poll_records(one, 5)
    one.commit({(page[0].topic, page[0].partition): 5})
    one.close()
    successor = events.member()
    poll_until(lambda: len(successor.lag()) == 4, successor)
    assert set(successor.lag().values()) == {0}


def test_member_finds_a_topic_created_later(topics):
    topics.create(events=4)
    member = topics.member(topics=["events", "later"])
    poll_until(member.owned, member)
    topics.create(later=1)
    topics.publish([topics.record("k", b"x", topic="later")])
    assert poll_records(member, 1)[0].topic == topics.full_name("later")


def test_ensure_topics_keeps_records_and_partitions(topics):
    topics.create(events=4)
    topics.publish(topics.records(5))
    topics.create(events=8)
    member = topics.member()
    assert len(poll_records(member, 5)) == 5
    assert len(member.owned()) == 4


def test_processes_can_ensure_the_same_topics_at_once(engine, topics):
    names = [topics.full_name(name) for name in "abcdef"]
    with workers.working(*[(workers.ensure_topics, engine, names)] * 3) as creators:
        assert [creator.pipe.recv() for creator in creators] == ["created"] * 3
    topics.publish([topics.record("k", topic=name) for name in "abcdef"])


def test_record_for_unknown_topic_fails_alone(events):
    nowhere = events.record("k", topic="nowhere")
    first, second, third = events.bus.publish([*events.records(1), nowhere, *events.records(1)], 5)
    assert first is None
    assert third is None
    assert isinstance(second, Exception)
    assert len(poll_records(events.member(), 2)) == 2


def test_invalid_record_fails_alone(events):
    bad = events.record("k", b"", {"name": "\ud800"})
    outcomes = events.bus.publish([*events.records(1), bad, *events.records(1)], 5)
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert len(poll_records(events.member(), 2)) == 2


def test_records_after_an_invalid_one_of_their_key_fail(events):
    bad = events.record("a", b"", {"name": "\ud800"})
    good, others = events.records(1, keys="a"), events.records(2, keys="b")
    outcomes = events.bus.publish([*good, bad, *good, *others, *good], 5)
    assert [outcome is None for outcome in outcomes] == [True, False, False, True, True, False]
    assert [record.key for record in poll_records(events.member(), 3)].count("a") == 1
