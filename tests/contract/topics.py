"""Topics and groups for the suites of the bus, and what these suites have in common."""

import signal
import time

from chassis import clock
from chassis.bus import Record, Topic


class Topics:
    """A bus with topics and groups that no other test uses."""

    def __init__(self, bus):
        self.bus, self._suffix, self._members = bus, clock.new_id().lower(), []

    def of(self, bus):
        """Return topics of the same names on another bus."""
        other = Topics(bus)
        other._suffix = self._suffix
        return other

    def full_name(self, name):
        return f"{name}-{self._suffix}"

    def create(self, **partitions):
        """Create topics: name=number of partitions."""
        self.bus.ensure_topics([Topic(self.full_name(name), count) for name, count in partitions.items()])

    def record(self, key, value=b"", headers=None, topic="events"):
        return Record(self.full_name(topic), key, value, headers or {})

    def records(self, count, keys="abcdefgh"):
        return [self.record(keys[n % len(keys)], str(n).encode(), {"n": str(n)}) for n in range(count)]

    def publish(self, records):
        assert self.bus.publish(records, 5) == [None] * len(records)

    def member(self, group="g", topics=("events",)):
        member = self.bus.consumer(self.full_name(group), [self.full_name(topic) for topic in topics])
        self._members.append(member)
        return member

    def partition(self, number, topic="events"):
        return self.full_name(topic), number

    def close(self):
        for member in self._members:
            member.close()

    def read_all(self):
        """Read every record of `events` that is there by now, in a group of its own."""
        reader = self.member(clock.new_id())
        found, quiet_polls = [], 0
        while quiet_polls < 3:
            page = reader.poll(50, 1)
            found += page
            quiet_polls = 0 if page or len(reader.owned()) < 4 else quiet_polls + 1
        return found


def poll_records(member, count, timeout_s=30):
    """Poll until the member has returned this number of records."""
    found, until = [], time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < until:
        found += member.poll(50, 0.2)
    assert len(found) == count
    return found


def end_offsets(records):
    """Return what to commit after these records."""
    return {(record.topic, record.partition): record.offset + 1 for record in records}


def poll_until(condition, *members, timeout_s=60):
    """Let all members poll until the condition holds."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        for member in members:
            member.poll(1, 0.05)


def pause(worker, topics):
    """Stop a process, but not while it holds the only lock of the embedded bus: that would stop everybody."""
    probe = [topics.record("k", topic="probe")]
    for _ in range(100):
        worker.send(signal.SIGSTOP)
        if topics.bus.publish(probe, 0.3) == [None]:
            return
        worker.send(signal.SIGCONT)
        topics.publish(probe)
    raise AssertionError("the process cannot be stopped")
