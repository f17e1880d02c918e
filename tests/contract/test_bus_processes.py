"""The bus's contract with several processes at once, some of which are paused or killed."""

import signal
import time

import pytest
import workers
from topics import end_offsets, pause, poll_records, poll_until

pytestmark = pytest.mark.parametrize("engine", ["sqlite", "kafka"], indirect=True)


def test_offsets_and_records_survive_a_kill(engine, events):
    topic = events.full_name("events")
    with workers.working((workers.publish_forever, engine, topic)) as (publisher,):
        reported = [publisher.pipe.recv() for _ in range(30)]
        publisher.kill()
        reported += publisher.reported_until_end()
    with workers.working((workers.consume, engine, events.full_name("g"), topic)) as (consumer,):
        delivered = [consumer.pipe.recv() for _ in range(15)]
        consumer.kill()
        delivered += consumer.reported_until_end()
    everything = events.read_all()
    assert [int(record.value) for record in sorted(everything, key=lambda record: int(record.value))] in (
        reported,
        [*reported, reported[-1] + 1],
    )
    successor = events.member()
    poll_until(lambda: len(successor.lag()) == 4, successor, timeout_s=3 * engine.session_s + 20)
    assert len(everything) - len(delivered) <= sum(successor.lag().values()) <= len(everything) - len(delivered) + 7


def test_publishing_processes_leave_no_gap_and_keep_order(engine, events):
    jobs = [(workers.publish, engine, me, events.full_name("events"), "abcdef", 25) for me in ("one", "two", "three")]
    with workers.working(*jobs) as publishers:
        for publisher in publishers:
            assert publisher.pipe.recv() == "ready"
        for publisher in publishers:
            publisher.pipe.send("go")
        for publisher in publishers:
            assert all(all(stored) for stored in publisher.reported_until_end())
    found = poll_records(events.member(), 3 * 6 * 25)
    for partition in range(4):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == list(range(len(offsets)))
    for key in "abcdef":
        assert len({record.partition for record in found if record.key == key}) == 1
        for me in ("one", "two", "three"):
            numbers = [record.value for record in found if record.key == key and record.value.startswith(me.encode())]
            assert numbers == [f"{me} {n}".encode() for n in range(25)]


class ObservedGroup:
    """Collects the reports of processes, and polls as a member of their group once it has joined."""

    def __init__(self, *processes):
        self.reported = {id(worker): [] for worker in processes}
        self.processes, self.member, self.got = processes, None, set()

    def reports_of(self, worker):
        return self.reported[id(worker)]

    def wait_until(self, condition):
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until
            for worker in self.processes:
                self.reported[id(worker)] += worker.reported()
            if self.member:
                page = self.member.poll(7, 0.05)
                self.got.update((record.partition, record.offset) for record in page)
                self.member.commit(end_offsets(page))

    def stop(self, worker):
        worker.send(signal.SIGCONT)
        worker.pipe.send("stop")
        self.reported[id(worker)] += worker.reported_until_end()


def test_every_record_is_delivered_while_members_come_and_go(engine, events):
    topic = events.full_name("events")
    member = workers.consume, engine, events.full_name("g"), topic
    with workers.working((workers.publish_forever, engine, topic), *[member] * 4) as processes:
        publisher, leaves, killed, paused, steady = processes
        group = ObservedGroup(*processes)
        group.wait_until(lambda: len(group.reports_of(leaves)) > 3)
        group.stop(leaves)
        group.wait_until(lambda: len(group.reports_of(killed)) > 3)
        killed.kill()
        group.wait_until(lambda: len(group.reports_of(paused)) > 3)
        pause(paused, events)
        group.member = events.member()
        group.wait_until(lambda: len(group.got) > 3)
        group.stop(publisher)
        everything = poll_records(events.member("reader"), len(group.reports_of(publisher)))
        wanted = {(record.partition, record.offset) for record in everything}
        delivered = [group.reports_of(worker) for worker in (leaves, killed, paused, steady)]
        group.wait_until(lambda: wanted <= group.got | {line[1:] for lines in delivered for line in lines})
        group.stop(paused)
        group.stop(steady)
    for lines in delivered:
        for owned in {line[:2] for line in lines}:
            offsets = [line[2] for line in lines if line[:2] == owned]
            assert offsets == list(range(offsets[0], offsets[-1] + 1)), "in order, without a gap while it is owned"
