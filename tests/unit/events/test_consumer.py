"""The consumer on an embedded bus: each event takes effect once, whatever interrupts or delays it."""

import threading

import pytest

from chassis.bus import Record
from chassis.errors import OutcomeUnknown
from chassis.events import dead_letters, outbox
from chassis.events.batch_progress import BatchProgress
from chassis.events.consumer import Consumer
from chassis.store import StoreUnavailable
from tests.unit.events.counters import TOPIC, Counted, Ignored, TotalsConsumer, counters, open_counter, published, total


def test_event_takes_effect_once_when_it_is_redelivered(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    bus.publish([Record(TOPIC, each.key, each.value, each.headers) for each in published(bus)] * 2, 5)
    reader = TotalsConsumer(bus)
    reader.run()
    assert (len(reader.seen), total("c1")) == (9, 6)


def test_declared_event_without_handler_is_skipped(bus, relay):
    counters.insert({"_id": "c1", **outbox.new_outbox("c1", Ignored(counter="c1"), Counted(counter="c1", step=7))})
    relay.step()
    TotalsConsumer(bus).run()
    assert total("c1") == 7
    assert list(dead_letters.collection.iterate()) == []


def test_transient_error_parks_nothing_and_the_batch_is_retried(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["c1"] = StoreUnavailable("the disk is full")
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            reader.consumer.step(wait_s=0)
    reader.failing.clear()
    reader.run()
    assert (total("c1"), list(dead_letters.collection.iterate())) == (6, [])


def test_batch_is_retried_when_parked_keys_cannot_be_loaded(bus, relay, store):
    open_counter("c1", steps=3)
    relay.step()
    reader = TotalsConsumer(bus)
    store.fail(1, False)
    with pytest.raises(StoreUnavailable):
        reader.consumer.step(wait_s=0)
    store.fail(0, False)
    reader.run()
    assert total("c1") == 6


def test_long_batch_keeps_its_partitions(bus, relay, fake_clock):
    for number in range(20):
        open_counter(f"c{number}")
    relay.step()
    reader, other = TotalsConsumer(bus), TotalsConsumer(bus)
    count = reader.count

    def slowly(event, meta):
        fake_clock.pass_time(2)
        other.consumer.step(wait_s=0)
        count(event, meta)

    reader.consumer = Consumer(bus.consumer("totals", [TOPIC]), {Counted: slowly})
    reader.run()
    other.run()
    assert len(reader.seen) > 5, "the batch takes longer than a silent member keeps its partitions"
    assert sorted(reader.seen + other.seen) == sorted({f"c{number}:1" for number in range(20)})


def test_new_owner_of_a_partition_handles_the_rest_of_the_batch(bus, relay, fake_clock):
    for number in range(20):
        open_counter(f"c{number}")
    relay.step()
    reader, new_owner = TotalsConsumer(bus), TotalsConsumer(bus)
    count = reader.count

    def sleep(event, meta):
        count(event, meta)
        if len(reader.seen) == 2:
            fake_clock.pass_time(11)
            new_owner.run()

    reader.consumer = Consumer(bus.consumer("totals", [TOPIC]), {Counted: sleep})
    reader.consumer.step(wait_s=0)
    assert len(reader.seen) == 2
    assert len(new_owner.seen) == 20


def test_rebalances_during_one_slow_event_park_nothing(bus, relay, fake_clock):
    open_counter("slow")
    relay.step()
    readers = [TotalsConsumer(bus) for _ in range(5)]
    handling = []

    def slowly(event, meta):
        """Take longer than a silent member keeps its partitions; the next member gets the event meanwhile."""
        handling.append(next(waiting))
        fake_clock.pass_time(11)
        for each in handling:
            each.consumer._progress.renew_alive()
        if len(handling) < len(readers):
            handling[-1].next.consumer.step(wait_s=0)
        readers[0].count(event, meta)

    for each, after in zip(readers, [*readers[1:], None], strict=True):
        each.next, each.consumer = after, Consumer(bus.consumer("totals", [TOPIC]), {Counted: slowly})
    waiting = iter(readers)
    readers[0].consumer.step(wait_s=0)
    assert len(handling) == 5
    assert list(dead_letters.collection.iterate()) == []
    fake_clock.pass_time(11)
    last = TotalsConsumer(bus)
    last.failing["slow"] = AssertionError("the event has been handled")
    last.run()
    assert (total("slow"), list(dead_letters.collection.iterate())) == (1, [])


def test_consumer_that_stops_in_an_outage_leaves_no_suspect(bus, relay, fake_clock):
    open_counter("c1")
    relay.step()
    for _ in range(5):
        reader, stop = TotalsConsumer(bus), threading.Event()

        def stop_and_fail(event, meta, stop=stop):
            stop.set()
            raise OutcomeUnknown("the provider does not answer")

        reader.consumer = Consumer(bus.consumer("totals", [TOPIC]), {Counted: stop_and_fail})
        reader.consumer.run(stop)
    TotalsConsumer(bus).run()
    assert (total("c1"), list(dead_letters.collection.iterate())) == (1, [])


def test_consumer_interrupted_anywhere_has_each_effect_once(bus, relay, store, fake_clock):
    interrupted = 0
    for after in (False, True):
        for at in range(1, 12):
            open_counter(f"{after}-{at}", steps=3)
            relay.step()
            interrupted += store.interrupts(TotalsConsumer(bus).run, at, after)
            fake_clock.pass_time(11)
            TotalsConsumer(bus).run()
            fake_clock.pass_time(11)
            assert total(f"{after}-{at}") == 6
    assert interrupted == 2 * 11
    assert list(dead_letters.collection.iterate()) == []


def test_records_at_reset_offsets_are_handled_although_later_ones_were():
    def batch(first):
        return [Record(TOPIC, "c1", b"{}", {}, 0, offset) for offset in range(first, first + 50)]

    partition = TOPIC, 0
    left = BatchProgress()
    assert left.begin_batch(partition, batch(100)) == -1
    left.leave_batch(partition, handled=120)
    assert BatchProgress().begin_batch(partition, batch(100)) == 120
    reset = BatchProgress()
    assert [reset.begin_batch(partition, batch(first)) for first in (0, 50, 100)] == [-1] * 3
