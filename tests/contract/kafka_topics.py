"""What the suites of the Kafka engine have in common."""

import time

from chassis import clock

NOBODY = "127.0.0.1:1"


def new_name(what="events"):
    return f"{what}-{clock.new_id().lower()}"


def read(bus, topic, count, seconds=60):
    """Read the first records of a topic, in a group of its own."""
    return read_until(bus, topic, lambda found: len(found) >= count, seconds)


def read_until(bus, topic, is_complete, seconds=60, extra=0.0):
    """Read the records of a topic until they are complete, and those of the next `extra` seconds."""
    member, found, until = bus.consumer(new_name("g"), [topic]), [], time.monotonic() + seconds
    while not is_complete(found) and time.monotonic() < until:
        found += member.poll(500, 0.2)
    until = time.monotonic() + extra
    while time.monotonic() < until:
        found += member.poll(500, 0.2)
    member.close()
    return found


def within(seconds, work):
    """Return or raise what `work` does; assert that it ends in time."""
    started = time.monotonic()
    try:
        return work()
    finally:
        assert time.monotonic() - started < seconds
