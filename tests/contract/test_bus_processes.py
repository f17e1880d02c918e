"""The bus's contract with several processes at once, some of which are paused or killed."""

import signal
import time

import pytest
import workers
from topics import end_offsets, pause, poll_records, poll_until

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)


def test_offsets_and_records_survive_a_kill(engine, events):
    topic = events.full_name("events")
    with workers.working((workers.publish_for_ever, engine, topic)) as (publisher,):
        heard = [publisher.pipe.recv() for _ in range(30)]
        publisher.kill()
        heard += publisher.said()
    with workers.working((workers.consume, engine, events.full_name("g"), topic)) as (consumer,):
        given = [consumer.pipe.recv() for _ in range(15)]
        consumer.kill()
        given += consumer.said()
    everything = events.read_all()
    assert [int(record.value) for record in sorted(everything, key=lambda record: int(record.value))] in (
        heard,
        [*heard, heard[-1] + 1],
    )
    heir = events.member()
    poll_until(lambda: len(heir.lag()) == 4, heir, timeout_s=3 * engine.patience + 20)
    assert len(everything) - len(given) <= sum(heir.lag().values()) <= len(everything) - len(given) + 7


def test_publishing_processes_leave_no_gap_and_keep_order(engine, events):
    jobs = [(workers.publish, engine, me, events.full_name("events"), "abcdef", 25) for me in ("one", "two", "three")]
    with workers.working(*jobs) as publishers:
        for publisher in publishers:
            assert publisher.pipe.recv() == "ready"
        for publisher in publishers:
            publisher.pipe.send("go")
        for publisher in publishers:
            assert all(all(stored) for stored in publisher.said())
    found = poll_records(events.member(), 3 * 6 * 25)
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
                self.member.commit(end_offsets(page))

    def stop(self, worker):
        worker.send(signal.SIGCONT)
        worker.pipe.send("stop")
        self.heard[id(worker)] += worker.said()


def test_every_record_is_delivered_while_members_come_and_go(engine, events):
    topic = events.full_name("events")
    member = workers.consume, engine, events.full_name("g"), topic
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
        everything = poll_records(events.member("reader"), len(crowd.said_by(publisher)))
        wanted = {(record.partition, record.offset) for record in everything}
        given = [crowd.said_by(worker) for worker in (leaves, killed, paused, steady)]
        crowd.wait_until(lambda: wanted <= crowd.got | {line[1:] for lines in given for line in lines})
        crowd.stop(paused)
        crowd.stop(steady)
    for lines in given:
        for owned in {line[:2] for line in lines}:
            offsets = [line[2] for line in lines if line[:2] == owned]
            assert offsets == list(range(offsets[0], offsets[-1] + 1)), "in order, without a gap while it is owned"
