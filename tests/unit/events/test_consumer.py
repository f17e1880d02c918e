"""The consumer over a real engine: an event has its effect once, and poison blocks nobody."""

import pytest

from chassis.bus import Record
from chassis.events import dead_letters, inbox, outbox
from chassis.events.consumer import Consumer
from chassis.store import StoreUnavailable, merge_updates
from tests.unit.events.counters import TOPIC, Counted, Erased, Ignored, counters, open_counter, published, say, totals


class Reader:
    """A consumer that sums up, and can be told to fail."""

    def __init__(self, bus):
        self.failing: dict[str, Exception] = {}
        self.seen: list[str] = []
        handlers = {Counted: self.count, Erased: self.erase}
        self.consumer = Consumer(bus.consumer("totals", [TOPIC]), handlers)

    def count(self, event, meta):
        if error := self.failing.get(event.counter):
            raise error
        self.seen.append(meta.id)
        if totals.get(event.counter) is None:
            totals.insert({"_id": event.counter, "sum": 0, **inbox.new_inbox("counters")})
        totals.update(
            event.counter, merge_updates({"$inc": {"sum": event.step}}, inbox.seen(meta)), when=inbox.unseen(meta)
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


def test_an_event_has_its_effect_once_however_often_it_is_delivered(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    bus.publish([Record(TOPIC, each.key, each.value, each.headers) for each in published(bus)] * 2, 5)
    reader = Reader(bus)
    reader.run()
    assert (len(reader.seen), total("c1")) == (9, 6)


def test_poison_parks_its_key_and_nobody_elses(bus, relay):
    open_counter("bad", steps=3)
    open_counter("good", steps=3)
    relay.step()
    reader = Reader(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    assert (total("good"), total("bad")) == (6, None)
    letters = dead_letters.of_key(TOPIC, "bad")
    assert [letter["_id"] for letter in letters] == [f"{TOPIC}:bad:{n}" for n in (1, 2, 3)]
    assert letters[0]["attempts"] == 3 and "I cannot" in letters[0]["reason"] and "count" in letters[0]["handler"]


def test_a_redrive_handles_the_key_in_order_and_leaves_nothing_parked(bus, relay, fake_clock):
    open_counter("bad", steps=3)
    relay.step()
    reader = Reader(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    reader.failing.clear()
    say("bad", Counted(counter="bad", step=4))
    relay.step()
    reader.run()
    assert reader.seen == [], "what comes later joins the key"
    dead_letters.request_redrive(dead_letters.of_key(TOPIC, "bad")[-1])
    fake_clock.pass_time(2)
    reader.run()
    assert reader.seen == [f"bad:{n}" for n in (1, 2, 3, 4)]
    assert (dead_letters.of_key(TOPIC, "bad"), total("bad")) == ([], 10)
    say("bad", Counted(counter="bad", step=5))
    relay.step()
    reader.run()
    assert total("bad") == 15, "the key flows again"


def test_a_redrive_that_fails_keeps_everything(bus, relay, fake_clock):
    open_counter("bad", steps=2)
    relay.step()
    reader = Reader(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    dead_letters.request_redrive(dead_letters.of_key(TOPIC, "bad")[0])
    fake_clock.pass_time(2)
    reader.run()
    letters = dead_letters.of_key(TOPIC, "bad")
    assert [(letter["attempts"], letter["redrive"]) for letter in letters] == [(4, False), (0, False)]


def test_an_erasure_drops_what_is_parked_of_its_key(bus, relay):
    open_counter("bad", steps=2)
    relay.step()
    reader = Reader(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    say("bad", Erased(counter="bad"))
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
def test_an_unreadable_record_is_parked_and_the_next_is_handled(bus, relay, value, headers, reason):
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
    reader = Reader(bus)
    reader.run()
    (letter,) = dead_letters.collection.iterate()
    assert reason in letter["reason"]
    assert total("good") == 1


def test_a_type_that_nobody_declares_is_kept_and_blocks_nobody(bus, relay):
    open_counter("c1")
    entry = counters.get("c1")["outbox"][0]
    counters.update("c1", {"$set": {"outbox": [{**entry, "type": "counter.invented"}]}})
    say("c1", Counted(counter="c1", step=2))
    relay.step()
    reader = Reader(bus)
    reader.run()
    (letter,) = dead_letters.collection.iterate()
    assert "counter.invented" in letter["reason"]
    assert total("c1") == 2


def test_a_type_that_is_declared_but_not_read_is_skipped(bus, relay):
    counters.insert({"_id": "c1", **outbox.new_outbox("c1", Ignored(counter="c1"), Counted(counter="c1", step=7))})
    relay.step()
    Reader(bus).run()
    assert total("c1") == 7
    assert list(dead_letters.collection.iterate()) == []


def test_trouble_parks_nothing_and_the_batch_is_handled_later(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    reader = Reader(bus)
    reader.failing["c1"] = StoreUnavailable("the disk is full")
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            reader.consumer.step(wait_s=0)
    reader.failing.clear()
    reader.run()
    assert (total("c1"), list(dead_letters.collection.iterate())) == (6, [])


def test_a_batch_whose_parked_keys_could_not_be_read_is_handled_later(bus, relay, store):
    open_counter("c1", steps=3)
    relay.step()
    reader = Reader(bus)
    store.fail(1, False)
    with pytest.raises(StoreUnavailable):
        reader.consumer.step(wait_s=0)
    store.fail(0, False)
    reader.run()
    assert total("c1") == 6


def test_a_batch_that_takes_long_keeps_its_place_in_the_group(bus, relay, fake_clock):
    for number in range(20):
        open_counter(f"c{number}")
    relay.step()
    reader, other = Reader(bus), Reader(bus)
    count = reader.count

    def slowly(event, meta):
        fake_clock.pass_time(2)
        other.consumer.step(wait_s=0)
        count(event, meta)

    reader.consumer = Consumer(bus.consumer("totals", [TOPIC]), {Counted: slowly})
    reader.run()
    other.run()
    assert len(reader.seen) > 5, "for longer than a silent member is waited for"
    assert sorted(reader.seen + other.seen) == sorted({f"c{number}:1" for number in range(20)})


def test_what_is_left_of_a_batch_goes_to_whom_its_partition_went(bus, relay, fake_clock):
    for number in range(20):
        open_counter(f"c{number}")
    relay.step()
    reader, heir = Reader(bus), Reader(bus)
    count = reader.count

    def sleep(event, meta):
        count(event, meta)
        if len(reader.seen) == 2:
            fake_clock.pass_time(11)
            heir.run()

    reader.consumer = Consumer(bus.consumer("totals", [TOPIC]), {Counted: sleep})
    reader.consumer.step(wait_s=0)
    assert len(reader.seen) == 2
    assert len(heir.seen) == 20


def test_a_handler_that_ends_the_process_is_parked_after_three_crashes(bus, relay, fake_clock):
    open_counter("deadly")
    open_counter("good")
    relay.step()
    for _ in range(4):
        reader = Reader(bus)
        reader.failing["deadly"] = SystemExit()  # stands for the end: nothing of the consumer runs after it
        with pytest.raises(SystemExit):
            reader.run()
        fake_clock.pass_time(11)
    reader = Reader(bus)
    reader.failing["deadly"] = SystemExit()
    reader.run()
    (letter,) = dead_letters.collection.iterate()
    assert (letter["key"], letter["attempts"]) == ("deadly", 3)
    assert total("good") == 1


def test_a_consumer_cut_off_anywhere_has_each_effect_once(bus, relay, store, fake_clock):
    cut = 0
    for after in (False, True):
        for at in range(1, 12):
            open_counter(f"{after}-{at}", steps=3)
            relay.step()
            cut += store.cuts(Reader(bus).run, at, after)
            fake_clock.pass_time(11)
            Reader(bus).run()
            fake_clock.pass_time(11)
            assert total(f"{after}-{at}") == 6
    assert cut == 2 * 11
    assert list(dead_letters.collection.iterate()) == []


def test_a_copy_of_each_dead_letter_goes_to_the_dead_topic_with_its_reason(bus, relay, fake_clock):
    open_counter("bad")
    relay.step()
    reader = Reader(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    fake_clock.pass_time(2)  # it looks for them now and then
    relay.step()
    (copy,) = published(bus, "totals.dead")
    assert copy.key == "bad" and "I cannot" in copy.headers["x-reason"]
