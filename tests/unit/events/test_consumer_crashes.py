"""Events that kill the process which handles them: each is parked after three crashes, and no other event is."""

from zlib import crc32

import pytest

from chassis.events import dead_letters
from tests.unit.events.counters import TotalsConsumer, open_counter, total


class Death(BaseException):
    """The end of the process: the consumer runs no code after it."""


def dies(bus, fake_clock, key):
    """Let a process die while it handles an event of this key, and pass the time until another one takes over."""
    reader = TotalsConsumer(bus)
    reader.failing[key] = Death()
    with pytest.raises(Death):
        reader.run()
    fake_clock.pass_time(11)


def test_event_that_kills_the_process_is_parked_after_3_crashes(bus, relay, fake_clock):
    for id in ("deadly", "good"):
        open_counter(id)
    relay.step()
    for _ in range(3):
        dies(bus, fake_clock, "deadly")
    assert list(dead_letters.collection.iterate()) == []
    reader = TotalsConsumer(bus)
    reader.failing["deadly"] = Death()
    reader.run()
    (dead_letter,) = dead_letters.collection.iterate()
    assert (dead_letter["key"], dead_letter["attempts"]) == ("deadly", 3)
    assert total("good") == 1


def test_event_that_kills_two_processes_is_handled_by_the_third(bus, relay, fake_clock):
    open_counter("deadly")
    relay.step()
    for _ in range(2):
        dies(bus, fake_clock, "deadly")
    TotalsConsumer(bus).run()
    assert (total("deadly"), list(dead_letters.collection.iterate())) == (1, [])


def test_third_event_of_a_batch_that_kills_the_process_is_parked_after_3_crashes(bus, relay, fake_clock):
    ids = [id for id in map(str, range(99)) if crc32(id.encode()) % 2 == 0][:5]  # of one partition
    for id in ids:
        open_counter(id)
        relay.step()
    for _ in range(3):
        assert list(dead_letters.collection.iterate()) == []
        dies(bus, fake_clock, ids[2])
    reader = TotalsConsumer(bus)
    reader.failing[ids[2]] = Death()
    reader.run()
    (dead_letter,) = dead_letters.collection.iterate()
    assert (dead_letter["key"], dead_letter["attempts"]) == (ids[2], 3)
    assert [total(id) for id in ids] == [1, 1, None, 1, 1]
    assert reader.seen == [f"{id}:1" for id in ids[3:]], "no earlier one is handled again"


def test_deaths_at_one_event_do_not_count_against_the_next(bus, relay, fake_clock):
    ids = [id for id in map(str, range(99)) if crc32(id.encode()) % 2 == 0][:2]  # of one partition
    for id in ids:
        open_counter(id)
        relay.step()
    for id in ids:
        for _ in range(3 if id == ids[0] else 2):
            dies(bus, fake_clock, id)
    TotalsConsumer(bus).run()
    assert [dead_letter["key"] for dead_letter in dead_letters.collection.iterate()] == [ids[0]]
    assert total(ids[1]) == 1
