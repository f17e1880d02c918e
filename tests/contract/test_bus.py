"""The bus's contract: order, groups, offsets."""

import signal
import threading
import time

import pytest
import workers

from chassis import clock
from chassis.bus import PartitionRevoked, Record, Topic

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)


class Log:
    """The bus, with topics and groups that no other test has."""

    def __init__(self, bus):
        self.bus, self._mark, self._members = bus, clock.new_id().lower(), []

    def named(self, name):
        return f"{name}-{self._mark}"

    def make(self, **partitions):
        """Topics with so many partitions."""
        self.bus.ensure_topics([Topic(self.named(name), count) for name, count in partitions.items()])

    def record(self, key, value=b"", headers=None, topic="events"):
        return Record(self.named(topic), key, value, headers or {})

    def records(self, count, keys="abcdefgh"):
        return [self.record(keys[n % len(keys)], str(n).encode(), {"n": str(n)}) for n in range(count)]

    def sent(self, some):
        assert self.bus.publish(some, 5) == [None] * len(some)

    def member(self, group="g", topics=("events",)):
        member = self.bus.consumer(self.named(group), [self.named(topic) for topic in topics])
        self._members.append(member)
        return member

    def partition(self, number, topic="events"):
        return self.named(topic), number

    def close(self):
        for member in self._members:
            member.close()


@pytest.fixture
def log(bus):
    log = Log(bus)
    yield log
    log.close()


@pytest.fixture
def events(log):
    log.make(events=4, probe=1)
    return log


def drained(member, count, seconds=60):
    """Poll until there are so many records."""
    found, until = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        found += member.poll(50, 0.2)
    assert len(found) == count
    return found


def ends(some):
    return {(record.topic, record.partition): record.offset + 1 for record in some}


def eventually(holds, *members, seconds=60):
    """Poll with everybody until it holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        for member in members:
            member.poll(1, 0.05)


def pause(worker, log):
    """Stop a process, but not where it holds the embedded log's only lock: that stops everybody."""
    probe = [log.record("k", topic="probe")]
    for _ in range(100):
        worker.send(signal.SIGSTOP)
        if log.bus.publish(probe, 0.3) == [None]:
            return
        worker.send(signal.SIGCONT)
        log.sent(probe)
    raise AssertionError("it cannot be stopped")


def test_a_record_comes_as_it_was_sent(events):
    events.sent([events.record("ключ", b"\x00\xff", {"ce_type": "é", "x": ""})])
    (record,) = drained(events.member(), 1)
    assert (record.key, record.value, dict(record.headers)) == ("ключ", b"\x00\xff", {"ce_type": "é", "x": ""})
    assert record.offset == 0
    assert abs(clock.seconds_since(record.time)) < 30


def test_records_of_a_key_stay_in_one_partition_and_in_order(events):
    for start in range(0, 100, 10):
        events.sent(events.records(100)[start : start + 10])
    found = drained(events.member(), 100)
    for key in "abcdefgh":
        mine = [record for record in found if record.key == key]
        assert len({record.partition for record in mine}) == 1
        assert [int(record.value) for record in mine] == sorted(int(record.value) for record in mine)
    assert len({record.partition for record in found}) > 1


def test_offsets_rise_by_one_from_zero_in_each_partition(events):
    events.sent(events.records(50))
    events.sent(events.records(50))
    found = drained(events.member(), 100)
    for partition in {record.partition for record in found}:
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_a_new_group_begins_with_the_earliest_record(events):
    events.sent(events.records(5))
    one = events.member("one")
    one.commit(ends(drained(one, 5)))
    assert len(drained(events.member("other"), 5)) == 5


def test_poll_goes_on_behind_what_it_gave_and_gives_no_more_than_asked(events):
    events.sent(events.records(20))
    member = events.member()
    found = []
    while len(found) < 20:
        page = member.poll(3, 0.2)
        assert len(page) <= 3
        found += page
    assert len({(record.partition, record.offset) for record in found}) == 20
    assert member.poll(3, 0) == []


def test_a_busy_partition_starves_no_other(events):
    member = events.member()
    events.sent([events.record("a", b"x" * 5000) for _ in range(200)])
    events.sent(events.records(1, keys="d") + events.records(1, keys="e") + events.records(1, keys="f"))
    given = []
    while len({record.partition for record in given}) < 2:
        given += member.poll(10, 1)
    assert len(given) < 150


def test_poll_waits_for_a_record_and_wakes_soon(engine, events):
    member = events.member()
    eventually(member.owned, member)
    began = time.monotonic()
    assert member.poll(1, 0.3) == []
    assert time.monotonic() - began >= 0.29
    with workers.working((workers.publish, engine, "p", events.named("events"), "a", 1)) as (publisher,):
        assert publisher.pipe.recv() == "ready"
        publisher.pipe.send("go")
        began = time.monotonic()
        assert member.poll(1, 60)
        assert time.monotonic() - began < 30


def test_what_was_committed_is_not_given_again_and_what_was_not_is(events):
    events.sent(events.records(10, keys="a"))
    one = events.member()
    page = one.poll(4, 15)
    one.commit(ends(page))
    one.poll(3, 5)
    one.close()
    assert [int(record.value) for record in drained(events.member(), 6)] == [4, 5, 6, 7, 8, 9]


def test_rewind_gives_records_again(events):
    events.sent(events.records(5, keys="a"))
    member = events.member()
    found = drained(member, 5)
    member.seek((found[0].topic, found[0].partition), 2)
    assert [record.offset for record in drained(member, 3)] == [2, 3, 4]


def test_lag_is_what_waits_behind_the_committed_offset(events):
    events.sent(events.records(5, keys="a"))
    member = events.member()
    found = drained(member, 5)
    partition = found[0].topic, found[0].partition
    lag = {events.partition(n): 5 if n == partition[1] else 0 for n in range(4)}
    eventually(lambda: dict(member.lag()) == lag, member)
    member.commit({partition: 3})
    assert member.lag()[partition] == 2
    events.sent(events.records(5, keys="a"))
    eventually(lambda: member.lag()[partition] == 7, member)


def test_lag_of_an_heir_begins_at_what_the_group_has_committed(events):
    events.sent(events.records(5, keys="a"))
    one = events.member()
    page = drained(one, 5)
    one.commit({(page[0].topic, page[0].partition): 5})
    one.close()
    heir = events.member()
    eventually(lambda: len(heir.lag()) == 4, heir)
    assert set(heir.lag().values()) == {0}


def test_one_member_owns_every_partition_of_all_its_topics(log):
    log.make(events=4, more=2)
    member = log.member(topics=["events", "more"])
    wanted = {log.partition(n) for n in range(4)} | {log.partition(n, "more") for n in range(2)}
    eventually(lambda: set(member.owned()) == wanted, member)


def test_a_topic_that_is_made_later_is_found(log):
    log.make(events=4)
    member = log.member(topics=["events", "later"])
    eventually(member.owned, member)
    log.make(later=1)
    log.sent([log.record("k", b"x", topic="later")])
    assert drained(member, 1)[0].topic == log.named("later")


def test_ensuring_a_topic_again_keeps_its_records_and_partitions(log):
    log.make(events=4)
    log.sent(log.records(5))
    log.make(events=8)
    member = log.member()
    assert len(drained(member, 5)) == 5
    assert len(member.owned()) == 4


def test_many_can_ensure_the_same_topics_at_once(engine, log):
    names = [log.named(name) for name in "abcdef"]
    with workers.working(*[(workers.ensure_topics, engine, names)] * 3) as makers:
        assert [maker.pipe.recv() for maker in makers] == ["made"] * 3
    log.sent([log.record("k", topic=name) for name in "abcdef"])


def test_a_record_for_an_unknown_topic_is_reported_and_bars_no_other(events):
    nowhere = events.record("k", topic="nowhere")
    first, second, third = events.bus.publish([*events.records(1), nowhere, *events.records(1)], 5)
    assert first is None
    assert third is None
    assert isinstance(second, Exception)
    assert len(drained(events.member(), 2)) == 2


def test_a_record_that_cannot_be_stored_is_reported_and_bars_no_other(events):
    bad = events.record("k", b"", {"name": "\ud800"})
    outcomes = events.bus.publish([*events.records(1), bad, *events.records(1)], 5)
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert len(drained(events.member(), 2)) == 2


def test_behind_a_record_that_cannot_be_stored_none_of_its_key_is(events):
    bad = events.record("a", b"", {"name": "\ud800"})
    good, others = events.records(1, keys="a"), events.records(2, keys="b")
    outcomes = events.bus.publish([*good, bad, *good, *others, *good], 5)
    assert [outcome is None for outcome in outcomes] == [True, False, False, True, True, False]
    assert [record.key for record in drained(events.member(), 3)].count("a") == 1


def test_members_share_the_partitions_and_take_over_from_one_that_leaves(events):
    one, other = events.member(), events.member()
    eventually(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    assert not one.owned().keys() & other.owned().keys()
    one.close()
    eventually(lambda: len(other.owned()) == 4, other)


def test_members_that_read_different_topics_share_a_group(log):
    """As when the old and the new release of a service run side by side."""
    log.make(a=2, z=2)
    old, new = log.member(topics=["z"]), log.member(topics=["a", "z"])
    eventually(lambda: old.owned() and len(old.owned()) + len(new.owned()) == 4, old, new)
    assert not old.owned().keys() & new.owned().keys()
    assert {topic for topic, _ in old.owned()} == {log.named("z")}


def test_a_partition_that_went_to_another_cannot_be_committed(events):
    events.sent(events.records(8))
    one = events.member()
    found = drained(one, 8)
    other = events.member()
    eventually(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    kept = {partition: 0 for partition in one.owned()}
    with pytest.raises(PartitionRevoked):
        one.commit(dict.fromkeys(other.owned(), 1))
    one.commit(kept)
    assert {record.partition for record in found} >= {number for _, number in kept}


def test_what_a_member_did_not_commit_goes_to_whom_its_partitions_go(events):
    events.sent(events.records(40))
    one = events.member()
    found = drained(one, 40)
    other, got, until = events.member(), [], time.monotonic() + 60
    while len(got) < len([record for record in found if (record.topic, record.partition) in other.owned()]) or not got:
        assert time.monotonic() < until
        one.poll(1, 0.05)
        got += other.poll(50, 0.05)
    assert sorted({(record.partition, record.offset) for record in got}) == sorted(
        (record.partition, record.offset) for record in found if (record.topic, record.partition) in other.owned()
    )


def test_what_is_given_anew_has_another_number_and_what_stays_has_its_own(events):
    one = events.member()
    eventually(lambda: len(one.owned()) == 4, one)
    before = dict(one.owned())
    other = events.member()
    eventually(lambda: len(one.owned()) == len(other.owned()) == 2, one, other)
    assert one.owned().items() <= before.items()
    other.close()
    eventually(lambda: len(one.owned()) == 4, one)
    assert len(one.owned().items() - before.items()) == 2


def test_a_member_that_stays_keeps_its_partitions_and_gets_no_records(engine, events):
    """One that is busy for longer than a silent member is waited for."""
    events.sent(events.records(8))
    one = events.member()
    page = drained(one, 8)
    events.sent(events.records(8))
    owned = dict(one.owned())
    other = events.member("other")
    until = time.monotonic() + 2.5 * engine.patience
    while time.monotonic() < until:
        one.heartbeat()
        other.poll(1, 0.2)
    assert one.owned() == owned
    one.commit(ends(page))
    assert len(drained(one, 8)) == 8


def test_a_member_that_stays_lets_another_join_and_knows_what_it_gave_up(events):
    events.sent(events.records(40))
    one = events.member()
    page = drained(one, 40)
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
        one.commit(ends(page))
    one.commit({partition: end for partition, end in ends(page).items() if partition in one.owned()})
    one.commit({})


def test_a_paused_member_cannot_commit_after_its_lease(engine, events):
    events.sent(events.records(10))
    with workers.working((workers.commit_late, engine, events.named("g"), events.named("events"))) as (zombie,):
        committed = zombie.pipe.recv()
        zombie.send(signal.SIGSTOP)
        heir = events.member()
        found = drained(heir, 10 - committed, seconds=5 * engine.patience + 15)
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
    assert not set(owned) & heir.owned().keys()


def test_offsets_and_records_outlive_a_kill(engine, events):
    topic = events.named("events")
    with workers.working((workers.publish_for_ever, engine, topic)) as (publisher,):
        heard = [publisher.pipe.recv() for _ in range(30)]
        publisher.kill()
        heard += publisher.said()
    with workers.working((workers.consume, engine, events.named("g"), topic)) as (consumer,):
        given = [consumer.pipe.recv() for _ in range(15)]
        consumer.kill()
        given += consumer.said()
    everything = all_of(events)
    assert [int(record.value) for record in sorted(everything, key=lambda record: int(record.value))] in (
        heard,
        [*heard, heard[-1] + 1],
    )
    heir = events.member()
    eventually(lambda: len(heir.lag()) == 4, heir, seconds=3 * engine.patience + 20)
    assert len(everything) - len(given) <= sum(heir.lag().values()) <= len(everything) - len(given) + 7


def all_of(log):
    """Every record of the topic by now, as a group of its own reads them."""
    reader = log.member(clock.new_id())
    found, quiet = [], 0
    while quiet < 3:
        page = reader.poll(50, 1)
        found += page
        quiet = 0 if page or len(reader.owned()) < 4 else quiet + 1
    return found


def test_publishing_processes_leave_no_gap_and_keep_each_keys_order(engine, events):
    jobs = [(workers.publish, engine, me, events.named("events"), "abcdef", 25) for me in ("one", "two", "three")]
    with workers.working(*jobs) as publishers:
        for publisher in publishers:
            assert publisher.pipe.recv() == "ready"
        for publisher in publishers:
            publisher.pipe.send("go")
        for publisher in publishers:
            assert all(all(stored) for stored in publisher.said())
    found = drained(events.member(), 3 * 6 * 25)
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
        self.everybody, self.member, self.got = everybody, None, set()

    def said_by(self, worker):
        return self.heard[id(worker)]

    def wait_until(self, holds):
        until = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < until
            for worker in self.everybody:
                self.heard[id(worker)] += worker.heard()
            if self.member:
                page = self.member.poll(7, 0.05)
                self.got.update((record.partition, record.offset) for record in page)
                self.member.commit(ends(page))

    def stop(self, worker):
        worker.send(signal.SIGCONT)
        worker.pipe.send("stop")
        self.heard[id(worker)] += worker.said()


def test_every_record_is_delivered_while_members_join_leave_and_are_killed(engine, events):
    topic = events.named("events")
    member = workers.consume, engine, events.named("g"), topic
    with workers.working((workers.publish_for_ever, engine, topic), *[member] * 4) as everybody:
        publisher, leaves, killed, paused, steady = everybody
        crowd = Crowd(*everybody)
        crowd.wait_until(lambda: len(crowd.said_by(leaves)) > 3)
        crowd.stop(leaves)
        crowd.wait_until(lambda: len(crowd.said_by(killed)) > 3)
        killed.kill()
        crowd.wait_until(lambda: len(crowd.said_by(paused)) > 3)
        pause(paused, events)
        crowd.member = events.member()
        crowd.wait_until(lambda: len(crowd.got) > 3)
        crowd.stop(publisher)
        everything = drained(events.member("reader"), len(crowd.said_by(publisher)))
        wanted = {(record.partition, record.offset) for record in everything}
        given = [crowd.said_by(worker) for worker in (leaves, killed, paused, steady)]
        crowd.wait_until(lambda: wanted <= crowd.got | {line[1:] for lines in given for line in lines})
        crowd.stop(paused)
        crowd.stop(steady)
    for lines in given:
        for owned in {line[:2] for line in lines}:
            offsets = [line[2] for line in lines if line[:2] == owned]
            assert offsets == list(range(offsets[0], offsets[-1] + 1)), "in order, without a gap while it is owned"
