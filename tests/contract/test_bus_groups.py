"""The bus's contract: how the members of a group share partitions."""

import signal
import threading
import time

import pytest
import workers
from topics import end_offsets, poll_records, poll_until

from chassis.bus import PartitionRevoked

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)


def test_single_member_owns_every_partition(topics):
    topics.create(events=4, more=2)
    member = topics.member(topics=["events", "more"])
    wanted = {topics.partition(n) for n in range(4)} | {topics.partition(n, "more") for n in range(2)}
    poll_until(lambda: set(member.owned()) == wanted, member)


def test_members_share_partitions_and_take_over(events):
    one, other = events.member(), events.member()
    poll_until(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    assert not one.owned().keys() & other.owned().keys()
    one.close()
    poll_until(lambda: len(other.owned()) == 4, other)


def test_members_that_read_different_topics_share_a_group(topics):
    """The old and the new release of a service run side by side."""
    topics.create(a=2, z=2)
    old, new = topics.member(topics=["z"]), topics.member(topics=["a", "z"])
    poll_until(lambda: old.owned() and len(old.owned()) + len(new.owned()) == 4, old, new)
    assert not old.owned().keys() & new.owned().keys()
    assert {topic for topic, _ in old.owned()} == {topics.full_name("z")}


def test_commit_rejects_a_revoked_partition(events):
    events.publish(events.records(8))
    one = events.member()
    found = poll_records(one, 8)
    other = events.member()
    poll_until(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    kept = {partition: 0 for partition in one.owned()}
    with pytest.raises(PartitionRevoked):
        one.commit(dict.fromkeys(other.owned(), 1))
    one.commit(kept)
    assert {record.partition for record in found} >= {number for _, number in kept}


def test_new_owner_gets_the_uncommitted_records(events):
    events.publish(events.records(40))
    one = events.member()
    found = poll_records(one, 40)
    other, got, until = events.member(), [], time.monotonic() + 60
    while len(got) < len([record for record in found if (record.topic, record.partition) in other.owned()]) or not got:
        assert time.monotonic() < until
        one.poll(1, 0.05)
        got += other.poll(50, 0.05)
    assert sorted({(record.partition, record.offset) for record in got}) == sorted(
        (record.partition, record.offset) for record in found if (record.topic, record.partition) in other.owned()
    )


def test_owned_number_changes_only_when_assigned_again(events):
    one = events.member()
    poll_until(lambda: len(one.owned()) == 4, one)
    before = dict(one.owned())
    other = events.member()
    poll_until(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    assert one.owned().items() <= before.items()
    other.close()
    poll_until(lambda: len(one.owned()) == 4, one)
    assert len(one.owned().items() - before.items()) == 2


def test_heartbeat_keeps_partitions_and_returns_no_records(engine, events):
    """The member is busy for longer than the session timeout."""
    events.publish(events.records(8))
    one = events.member()
    page = poll_records(one, 8)
    events.publish(events.records(8))
    owned = dict(one.owned())
    other = events.member("other")
    until = time.monotonic() + 2.5 * engine.session_s
    while time.monotonic() < until:
        one.heartbeat()
        other.poll(1, 0.2)
    assert one.owned() == owned
    one.commit(end_offsets(page))
    assert len(poll_records(one, 8)) == 8


def test_heartbeat_lets_another_member_join(events):
    events.publish(events.records(40))
    one = events.member()
    page = poll_records(one, 40)
    joined = threading.Event()
    other = events.member()

    def join():
        while len(other.owned()) < 2:
            other.poll(1, 0.2)
        joined.set()

    thread = threading.Thread(target=join)
    thread.start()
    until = time.monotonic() + 60
    while not joined.wait(0.1) and time.monotonic() < until:
        one.heartbeat()
    thread.join()
    assert len(one.owned()) == 2
    with pytest.raises(PartitionRevoked):
        one.commit(end_offsets(page))
    one.commit({partition: end for partition, end in end_offsets(page).items() if partition in one.owned()})
    one.commit({})


def test_paused_member_cannot_commit_after_its_lease(engine, events):
    events.publish(events.records(10))
    with workers.working((workers.commit_late, engine, events.full_name("g"), events.full_name("events"))) as (zombie,):
        committed = zombie.pipe.recv()
        zombie.send(signal.SIGSTOP)
        successor = events.member()
        found = poll_records(successor, 10 - committed, timeout_s=5 * engine.session_s + 15)
        before = dict(successor.lag())
        zombie.pipe.send("commit")
        zombie.send(signal.SIGCONT)
        assert zombie.pipe.recv() == "revoked"
        assert dict(successor.lag()) == before
        poll_until(lambda: len(successor.owned()) == 2, successor)
        successor.commit(
            {partition: end for partition, end in end_offsets(found).items() if partition in successor.owned()}
        )
        zombie.pipe.send("stop")
        owned = zombie.pipe.recv()
    assert len(owned) == 2, "it joins again"
    assert not set(owned) & successor.owned().keys()
