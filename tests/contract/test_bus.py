"""The bus's contract: order, groups, offsets."""

import signal
import time

import pytest
import workers

from chassis.bus import Lost, Record, Topic

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)

EVENTS = Topic("events", partitions=4)


@pytest.fixture
def topic(bus):
    bus.ensure([EVENTS, Topic("probe", partitions=1)])
    return bus


def records(count, keys="abcdefgh", topic="events"):
    return [Record(topic, keys[n % len(keys)], str(n).encode(), {"n": str(n)}) for n in range(count)]


def sent(bus, some):
    assert bus.publish(some, 5) == [None] * len(some)


def drained(consumer, count, seconds=15):
    """Poll until there are so many records."""
    found, until = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        found += consumer.poll(50, 0.2)
    assert len(found) == count
    return found


def ends(some):
    return {(record.topic, record.partition): record.offset + 1 for record in some}


def eventually(holds, *consumers, seconds=15):
    """Poll with everybody until it holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        for consumer in consumers:
            consumer.poll(1, 0.05)


def pause(worker, bus):
    """Stop a process, but not where it holds the embedded log's only lock: that stops everybody."""
    probe = [Record("probe", "k", b"")]
    for _ in range(100):
        worker.send(signal.SIGSTOP)
        if bus.publish(probe, 0.3) == [None]:
            return
        worker.send(signal.SIGCONT)
        sent(bus, probe)
    raise AssertionError("it cannot be stopped")


def test_a_record_comes_as_it_was_sent(topic):
    sent(topic, [Record("events", "ключ", b"\x00\xff", {"ce_type": "é", "x": ""})])
    (record,) = drained(topic.consumer("g", ["events"]), 1)
    assert (record.key, record.value, dict(record.headers)) == ("ключ", b"\x00\xff", {"ce_type": "é", "x": ""})
    assert record.offset == 0
    assert record.time.endswith("Z")


def test_records_of_a_key_stay_in_one_partition_and_in_order(topic):
    for start in range(0, 100, 10):
        sent(topic, records(100)[start : start + 10])
    found = drained(topic.consumer("g", ["events"]), 100)
    for key in "abcdefgh":
        mine = [record for record in found if record.key == key]
        assert len({record.partition for record in mine}) == 1
        assert [int(record.value) for record in mine] == sorted(int(record.value) for record in mine)
    assert len({record.partition for record in found}) > 1


def test_offsets_rise_by_one_from_zero_in_each_partition(topic):
    sent(topic, records(50))
    sent(topic, records(50))
    found = drained(topic.consumer("g", ["events"]), 100)
    for partition in {record.partition for record in found}:
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_a_new_group_begins_with_the_earliest_record(topic):
    sent(topic, records(5))
    one = topic.consumer("one", ["events"])
    one.commit(ends(drained(one, 5)))
    assert len(drained(topic.consumer("other", ["events"]), 5)) == 5


def test_poll_goes_on_behind_what_it_gave_and_gives_no_more_than_asked(topic):
    sent(topic, records(20))
    consumer = topic.consumer("g", ["events"])
    found = []
    while len(found) < 20:
        page = consumer.poll(3, 0.2)
        assert len(page) <= 3
        found += page
    assert len({(record.partition, record.offset) for record in found}) == 20
    assert consumer.poll(3, 0) == []


def test_a_busy_partition_starves_no_other(topic):
    consumer = topic.consumer("g", ["events"])
    sent(topic, records(200, keys="a"))
    sent(topic, records(1, keys="d") + records(1, keys="e") + records(1, keys="f"))
    partitions = {record.partition for _ in range(8) for record in consumer.poll(10, 1)}
    assert len(partitions) > 1


def test_poll_waits_for_a_record_and_wakes_soon(engine, topic):
    consumer = topic.consumer("g", ["events"])
    consumer.poll(1, 0)
    began = time.monotonic()
    assert consumer.poll(1, 0.3) == []
    assert time.monotonic() - began >= 0.3
    with workers.working((workers.publish, engine, "p", "events", "a", 1)) as (publisher,):
        assert publisher.pipe.recv() == "ready"
        publisher.pipe.send("go")
        began = time.monotonic()
        assert consumer.poll(1, 20)
        assert time.monotonic() - began < 10


def test_what_was_committed_is_not_given_again_and_what_was_not_is(topic):
    sent(topic, records(10, keys="a"))
    one = topic.consumer("g", ["events"])
    page = one.poll(4, 5)
    one.commit(ends(page))
    one.poll(3, 5)
    one.close()
    assert [int(record.value) for record in drained(topic.consumer("g", ["events"]), 6)] == [4, 5, 6, 7, 8, 9]


def test_rewind_gives_records_again(topic):
    sent(topic, records(5, keys="a"))
    consumer = topic.consumer("g", ["events"])
    found = drained(consumer, 5)
    consumer.rewind(("events", found[0].partition), 2)
    assert [record.offset for record in drained(consumer, 3)] == [2, 3, 4]


def test_lag_is_what_waits_behind_the_committed_offset(topic):
    sent(topic, records(5, keys="a"))
    consumer = topic.consumer("g", ["events"])
    found = drained(consumer, 5)
    partition = ("events", found[0].partition)
    assert dict(consumer.lag()) == {("events", n): 5 if n == partition[1] else 0 for n in range(4)}
    consumer.commit({partition: 3})
    assert consumer.lag()[partition] == 2


def test_one_member_owns_every_partition_of_all_its_topics(bus):
    bus.ensure([EVENTS, Topic("more", partitions=2)])
    consumer = bus.consumer("g", ["events", "more"])
    consumer.poll(1, 0)
    assert consumer.owned() == {("events", n) for n in range(4)} | {("more", n) for n in range(2)}


def test_a_topic_that_is_made_later_is_found(bus):
    bus.ensure([EVENTS])
    consumer = bus.consumer("g", ["events", "later"])
    consumer.poll(1, 0)
    bus.ensure([Topic("later", partitions=1)])
    sent(bus, [Record("later", "k", b"x")])
    assert drained(consumer, 1)[0].topic == "later"


def test_ensuring_a_topic_again_keeps_its_records_and_partitions(bus):
    bus.ensure([EVENTS])
    sent(bus, records(5))
    bus.ensure([EVENTS, Topic("events", partitions=8)])
    consumer = bus.consumer("g", ["events"])
    assert len(drained(consumer, 5)) == 5
    assert len(consumer.owned()) == 4


def test_a_record_for_an_unknown_topic_is_reported_and_bars_no_other(topic):
    first, second, third = topic.publish([*records(1), Record("nowhere", "k", b""), *records(1)], 2)
    assert first is None
    assert third is None
    assert isinstance(second, Exception)
    assert len(drained(topic.consumer("g", ["events"]), 2)) == 2


def test_a_record_that_cannot_be_stored_is_reported_and_bars_no_other(topic):
    bad = Record("events", "k", b"", {"name": "\ud800"})
    outcomes = topic.publish([*records(1), bad, *records(1)], 5)
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert len(drained(topic.consumer("g", ["events"]), 2)) == 2


def test_members_share_the_partitions_and_take_over_from_one_that_leaves(topic):
    one, other = topic.consumer("g", ["events"]), topic.consumer("g", ["events"])
    eventually(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    assert not one.owned() & other.owned()
    one.close()
    eventually(lambda: len(other.owned()) == 4, other)


def test_members_that_read_different_topics_share_a_group(bus):
    """As when the old and the new release of a service run side by side."""
    bus.ensure([Topic("a", partitions=2), Topic("z", partitions=2)])
    old, new = bus.consumer("g", ["z"]), bus.consumer("g", ["a", "z"])
    eventually(lambda: len(old.owned()) == 1 and len(new.owned()) == 3, old, new)
    assert not old.owned() & new.owned()


def test_a_partition_that_went_to_another_cannot_be_committed(topic):
    sent(topic, records(8))
    one = topic.consumer("g", ["events"])
    found = drained(one, 8)
    other = topic.consumer("g", ["events"])
    eventually(lambda: len(other.owned()) == 2, one, other)
    kept = {partition: 0 for partition in one.owned()}
    with pytest.raises(Lost):
        one.commit(dict.fromkeys(other.owned(), 1))
    one.commit(kept)
    assert {record.partition for record in found} >= {number for _, number in kept}


def test_a_paused_member_cannot_commit_after_its_lease(engine, topic):
    sent(topic, records(10))
    with workers.working((workers.commit_late, engine, "g", "events")) as (zombie,):
        assert zombie.pipe.recv() == "polled"
        zombie.send(signal.SIGSTOP)
        heir = topic.consumer("g", ["events"])
        found = drained(heir, 10 - 4)  # the zombie had committed one of each partition
        before = dict(heir.lag())
        zombie.pipe.send("commit")
        zombie.send(signal.SIGCONT)
        assert zombie.pipe.recv() == "lost"
        assert dict(heir.lag()) == before
        eventually(lambda: len(heir.owned()) == 2, heir)
        heir.commit({partition: end for partition, end in ends(found).items() if partition in heir.owned()})
        zombie.pipe.send("stop")
        owned = zombie.pipe.recv()
    assert len(owned) == 2, "it joins again"
    assert not set(owned) & heir.owned()


def test_offsets_and_records_outlive_a_kill(engine, topic):
    with workers.working((workers.publish_for_ever, engine, "events")) as (publisher,):
        heard = [publisher.pipe.recv() for _ in range(30)]
        publisher.kill()
        heard += publisher.said()
    with workers.working((workers.consume, engine, "g", "events")) as (consumer,):
        given = [consumer.pipe.recv() for _ in range(15)]
        consumer.kill()
        given += consumer.said()
    reader = topic.consumer("reader", ["events"])
    everything = drained(reader, sum(_waiting(reader).values()))
    assert [int(record.value) for record in sorted(everything, key=lambda record: int(record.value))] in (
        heard,
        [*heard, heard[-1] + 1],
    )
    heir = topic.consumer("g", ["events"])
    eventually(lambda: len(heir.owned()) == 4, heir)
    assert len(everything) - len(given) <= sum(heir.lag().values()) <= len(everything) - len(given) + 7


def _waiting(consumer):
    consumer.poll(1, 0)
    for partition in consumer.owned():
        consumer.rewind(partition, 0)
    return consumer.lag()


def test_publishing_processes_leave_no_gap_and_keep_each_keys_order(engine, topic):
    jobs = [(workers.publish, engine, me, "events", "abcdef", 25) for me in ("one", "two", "three")]
    with workers.working(*jobs) as publishers:
        for publisher in publishers:
            assert publisher.pipe.recv() == "ready"
        for publisher in publishers:
            publisher.pipe.send("go")
        for publisher in publishers:
            assert all(all(stored) for stored in publisher.said())
    found = drained(topic.consumer("g", ["events"]), 3 * 6 * 25)
    for partition in range(4):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))
    for key in "abcdef":
        assert len({record.partition for record in found if record.key == key}) == 1
        for me in ("one", "two", "three"):
            numbers = [record.value for record in found if record.key == key and record.value.startswith(me.encode())]
            assert numbers == [f"{me} {n}".encode() for n in range(25)]


class Crowd:
    """Listens to processes, and works as a member of the group itself once it has joined."""

    def __init__(self, *everybody):
        self.heard = {id(worker): [] for worker in everybody}
        self.everybody, self.consumer, self.got = everybody, None, set()

    def said_by(self, worker):
        return self.heard[id(worker)]

    def wait_until(self, holds):
        until = time.monotonic() + 40
        while not holds():
            assert time.monotonic() < until
            for worker in self.everybody:
                self.heard[id(worker)] += worker.heard()
            if self.consumer:
                page = self.consumer.poll(7, 0.05)
                self.got.update((record.partition, record.offset) for record in page)
                self.consumer.commit(ends(page))

    def stop(self, worker):
        worker.send(signal.SIGCONT)
        worker.pipe.send("stop")
        self.heard[id(worker)] += worker.said()


def test_every_record_is_delivered_while_members_join_leave_and_are_killed(engine, topic):
    member = (workers.consume, engine, "g", "events")
    with workers.working((workers.publish_for_ever, engine, "events"), *[member] * 4) as everybody:
        publisher, leaves, killed, paused, steady = everybody
        crowd = Crowd(*everybody)
        crowd.wait_until(lambda: len(crowd.said_by(leaves)) > 3)
        crowd.stop(leaves)
        crowd.wait_until(lambda: len(crowd.said_by(killed)) > 3)
        killed.kill()
        crowd.wait_until(lambda: len(crowd.said_by(paused)) > 3)
        pause(paused, topic)
        crowd.consumer = topic.consumer("g", ["events"])
        crowd.wait_until(lambda: len(crowd.got) > 3)
        crowd.stop(publisher)
        everything = drained(topic.consumer("reader", ["events"]), len(crowd.said_by(publisher)))
        wanted = {(record.partition, record.offset) for record in everything}
        given = [crowd.said_by(worker) for worker in (leaves, killed, paused, steady)]
        crowd.wait_until(lambda: wanted <= crowd.got | {line[1:] for lines in given for line in lines})
        crowd.stop(paused)
        crowd.stop(steady)
    for lines in given:
        for owned in {line[:2] for line in lines}:
            offsets = [line[2] for line in lines if line[:2] == owned]
            assert offsets == list(range(offsets[0], offsets[-1] + 1)), "in order, without a gap while it is owned"
