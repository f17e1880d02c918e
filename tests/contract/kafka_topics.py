"""What the suites of the Kafka engine have in common."""

import time

from chassis import clock

NOBODY = "127.0.0.1:1"


def new_name(what="events"):
    return f"{what}-{clock.new_id().lower()}"


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
    started = time.monotonic()
    try:
        return work()
    finally:
        assert time.monotonic() - started < seconds
