"""The consumer on an embedded bus: each event takes effect once, and a poison event blocks its own key only."""

import threading
from zlib import crc32

import pytest

from chassis.bus import Record
from chassis.errors import OutcomeUnknown
from chassis.events import dead_letters, inbox, outbox
from chassis.events.batch_progress import BatchProgress
from chassis.events.consumer import Consumer
from chassis.store import StoreUnavailable, merge_updates
from tests.unit.events.counters import (
    TOPIC,
    Alarm,
    Counted,
    Erased,
    Ignored,
    append,
    counters,
    open_counter,
    published,
    totals,
)


class TotalsConsumer:
    """A consumer that sums up the counted steps. Handling a counter in `failing` raises its error."""

    def __init__(self, bus):
        self.failing: dict[str, Exception] = {}
        self.seen: list[str] = []
        handlers = {Counted: self.count, Erased: self.erase, Alarm: lambda event, meta: self.seen.append(meta.id)}
        self.consumer = Consumer(bus.consumer("totals", [TOPIC]), handlers)

    def count(self, event, meta):
        if error := self.failing.get(event.counter):
            raise error
        self.seen.append(meta.id)
        if totals.get(event.counter) is None:
            totals.insert({"_id": event.counter, "sum": 0, **inbox.new_inbox("counters")})
        totals.update(
            event.counter,
            merge_updates({"$inc": {"sum": event.step}}, inbox.mark_applied(meta)),
            when=inbox.not_applied(meta),
        )

    def erase(self, event, meta):
        totals.delete(event.counter)
        self.seen.append(meta.id)

    def run(self):
        while self.consumer.step(wait_s=0):
            pass


def total(id):
    doc = totals.get(id)
    return doc["sum"] if doc else None


def test_event_takes_effect_once_when_it_is_redelivered(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    bus.publish([Record(TOPIC, each.key, each.value, each.headers) for each in published(bus)] * 2, 5)
    reader = TotalsConsumer(bus)
    reader.run()
    assert (len(reader.seen), total("c1")) == (9, 6)


def test_unordered_event_is_handled_although_its_key_is_parked(bus, relay):
    """Such as the end of a session: it must not wait until an operator redrives the key."""
    open_counter("bad")
    append("bad", Alarm(counter="bad"))
    append("bad", Counted(counter="bad", step=2))
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    assert reader.seen == ["bad:2"]
    parked = [dead_letter["_id"] for dead_letter in dead_letters.of_key(TOPIC, "bad")]
    assert parked == [f"{TOPIC}:bad:1", f"{TOPIC}:bad:3"]


def test_poison_event_parks_its_own_key_only(bus, relay):
    open_counter("bad", steps=3)
    open_counter("good", steps=3)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    assert (total("good"), total("bad")) == (6, None)
    parked = dead_letters.of_key(TOPIC, "bad")
    assert [dead_letter["_id"] for dead_letter in parked] == [f"{TOPIC}:bad:{n}" for n in (1, 2, 3)]
    assert parked[0]["attempts"] == 3 and "I cannot" in parked[0]["reason"] and "count" in parked[0]["handler"]


def test_redrive_handles_the_key_in_order_and_unparks_it(bus, relay, fake_clock):
    open_counter("bad", steps=3)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    reader.failing.clear()
    append("bad", Counted(counter="bad", step=4))
    relay.step()
    reader.run()
    assert reader.seen == [], "later events of a parked key are parked"
    dead_letters.request_redrive(dead_letters.of_key(TOPIC, "bad")[-1])
    fake_clock.pass_time(2)
    reader.run()
    assert reader.seen == [f"bad:{n}" for n in (1, 2, 3, 4)]
    assert (dead_letters.of_key(TOPIC, "bad"), total("bad")) == ([], 10)
    append("bad", Counted(counter="bad", step=5))
    relay.step()
    reader.run()
    assert total("bad") == 15, "the key is handled again"


def test_failed_redrive_keeps_all_dead_letters(bus, relay, fake_clock):
    open_counter("bad", steps=2)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    dead_letters.request_redrive(dead_letters.of_key(TOPIC, "bad")[0])
    fake_clock.pass_time(2)
    reader.run()
    parked = dead_letters.of_key(TOPIC, "bad")
    assert [(dead_letter["attempts"], dead_letter["redrive"]) for dead_letter in parked] == [(6, False), (0, False)]


def test_erasing_event_deletes_the_dead_letters_of_its_key(bus, relay):
    open_counter("bad", steps=2)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    append("bad", Erased(counter="bad"))
    relay.step()
    reader.run()
    assert dead_letters.of_key(TOPIC, "bad") == []
    assert reader.seen == ["bad:3"]


@pytest.mark.parametrize(
    "value, headers, reason",
    [
        (b"{not json", None, "not readable"),
        (b"\xff\xfe", None, "not readable"),
        (b"{}", {}, "ce_id"),
        (b'{"counter": "x"}', None, "step"),
        (b'{"counter": "x", "step": "many"}', None, "step"),
        (b"[]", None, ""),
    ],
)
def test_malformed_record_is_parked_and_the_next_is_handled(bus, relay, value, headers, reason):
    good = {
        "ce_id": "x:1",
        "ce_source": "counters",
        "ce_type": "counter.counted",
        "ce_time": "2026-01-01T00:00:00.000Z",
        "ce_subject": "x",
        "ce_sequence": "1",
    }
    bus.publish([Record(TOPIC, "x", value, good if headers is None else headers)], 5)
    open_counter("good")
    relay.step()
    reader = TotalsConsumer(bus)
    reader.run()
    (dead_letter,) = dead_letters.collection.iterate()
    assert reason in dead_letter["reason"]
    assert total("good") == 1


def test_undeclared_event_type_is_parked_and_blocks_no_key(bus, relay):
    open_counter("c1")
    entry = counters.get("c1")["outbox"][0]
    counters.update("c1", {"$set": {"outbox": [{**entry, "type": "counter.invented"}]}})
    append("c1", Counted(counter="c1", step=2))
    relay.step()
    reader = TotalsConsumer(bus)
    reader.run()
    (dead_letter,) = dead_letters.collection.iterate()
    assert "counter.invented" in dead_letter["reason"]
    assert total("c1") == 2


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


def test_dead_letter_is_copied_to_the_dead_topic_with_its_reason(bus, relay, fake_clock):
    open_counter("bad")
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    fake_clock.pass_time(2)  # the poll interval of dead letters
    relay.step()
    (copy,) = published(bus, "totals.dead")
    assert copy.key == "bad" and "I cannot" in copy.headers["x-reason"]


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
