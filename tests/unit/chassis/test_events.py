"""Events over real engines: they leave in order and none is lost, they have their effect once, poison blocks nobody."""

import threading

import pytest
from prometheus_client import REGISTRY

from chassis import leases as leasing
from chassis.bus import Record, Topic
from chassis.bus.sqlite import SqliteBus
from chassis.errors import Trouble
from chassis.events import deadletters, inbox, outbox
from chassis.events.backlog import backlog
from chassis.events.consumer import Consumer, progress
from chassis.events.messages import Event
from chassis.events.outbox import Embedded
from chassis.events.relay import BATCH, EACH, FEW, HANDS, Relay
from chassis.observe.seldom import Seldom
from chassis.store import Collection, StoreDown, merged


class Counted(Event, type="counter.counted", key="counter"):
    counter: str
    step: int


class Erased(Event, type="counter.erased", key="counter", erases=True):
    counter: str


class Ignored(Event, type="counter.ignored", key="counter"):
    counter: str


Counted.service = Erased.service = Ignored.service = "counters"
counters = Collection("counters", outbox.PENDING)
totals = Collection("totals")
leases = Collection("leases")
TOPIC = "counters.events"


@pytest.fixture
def bus(tmp_path):
    engine = SqliteBus(tmp_path / "bus.db")
    engine.ensure([Topic(TOPIC, 2), Topic("totals.dead", 1)])
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    for collection in (counters, totals, leases, deadletters.letters, progress):
        collection.bind(store)


def open_counter(id, steps=1):
    counters.insert({"_id": id, **outbox.opened(id, *(Counted(counter=id, step=n) for n in range(1, steps + 1)))})


def say(id, event):
    change, guard = outbox.says(counters.get(id), event)
    assert counters.update(id, change, when=guard)


@pytest.fixture
def relay(bus):
    return new_relay(bus)


def new_relay(bus):
    return Relay([Embedded("counters", counters), deadletters.Copies("totals")], bus, leases, lease=10, pause=0.1)


def published(bus, topic=TOPIC, group="reader"):
    member = bus.consumer(group, [topic])
    found = []
    while records := member.poll(500, 0):
        found += records
    member.close()
    return found


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
            totals.insert({"_id": event.counter, "sum": 0, **inbox.empty("counters")})
        totals.update(event.counter, merged({"$inc": {"sum": event.step}}, inbox.seen(meta)), when=inbox.unseen(meta))

    def erase(self, event, meta):
        totals.delete(event.counter)
        self.seen.append(meta.id)

    def run(self):
        while self.consumer.step(wait=0):
            pass


def total(id):
    doc = totals.get(id)
    return doc["sum"] if doc else None


def test_events_leave_in_order_and_the_outbox_is_empty_then(bus, relay):
    for number in range(20):
        open_counter(f"c{number}", steps=5)
    relay.step()
    for number in range(20):
        sequence = [
            record.headers["ce_sequence"] for record in published(bus, group=f"g{number}") if record.key == "c3"
        ]
        assert sequence == ["1", "2", "3", "4", "5"]
    doc = counters.get("c3")
    assert (doc["pending"], doc["outbox"], doc["published"], doc["seq"]) == (0, [], 5, 5)


def test_an_event_said_while_others_are_published_is_not_cleared_with_them(bus, relay, monkeypatch):
    open_counter("c1")
    publish = bus.publish

    def slowly(records, timeout):
        result = publish(records, timeout)
        say("c1", Counted(counter="c1", step=2))
        monkeypatch.undo()
        return result

    monkeypatch.setattr(bus, "publish", slowly)
    relay.step()
    doc = counters.get("c1")
    assert (doc["pending"], [entry["seq"] for entry in doc["outbox"]]) == (1, [2])


def test_a_relay_that_wakes_up_after_its_lease_clears_nothing_twice(bus, relay):
    open_counter("c1", steps=2)
    source = Embedded("counters", counters)
    (asleep,) = source.waiting(range(16), 10)
    relay.step()
    say("c1", Counted(counter="c1", step=3))
    source.clear([(asleep, 2)])
    assert counters.get("c1")["pending"] == 1
    relay.step()
    assert len({record.headers["ce_id"] for record in published(bus)}) == 3


def test_what_the_log_did_not_acknowledge_stays_in_the_outbox_and_goes_later(bus, relay, monkeypatch):
    open_counter("c1", steps=3)
    monkeypatch.setattr(bus, "publish", lambda records, timeout: [Trouble("down")] * len(records))
    with pytest.raises(Trouble, match="down"):
        relay.step()
    monkeypatch.undo()
    assert counters.get("c1")["pending"] == 3
    relay.step()
    assert counters.get("c1")["pending"] == 0


def test_what_the_log_took_before_it_failed_is_cleared_and_no_more(bus, relay, monkeypatch):
    open_counter("c1", steps=3)
    open_counter("c2", steps=3)
    monkeypatch.setattr(bus, "publish", lambda records, timeout: [None, Trouble("down"), None, None, None, None])
    assert relay.step() == 4
    monkeypatch.undo()
    assert [counters.get(id)["pending"] for id in ("c1", "c2")] == [2, 0]
    relay.step()
    assert [record.headers["ce_sequence"] for record in published(bus) if record.key == "c1"] == ["2", "3"]


def test_much_that_waits_leaves_in_order_by_many_hands(bus, relay):
    ids = [f"c{number}" for number in range(3 * BATCH)]
    for id in ids:
        open_counter(id, steps=3)
    open_counter("long", steps=5 * EACH)
    sums = [relay.step() for _ in range(8)]
    assert sum(sums) == 9 * BATCH + 5 * EACH
    found = published(bus)
    for id in ("long", *ids):
        count = 5 * EACH if id == "long" else 3
        sequence = [int(record.headers["ce_sequence"]) for record in found if record.key == id]
        assert sequence == list(range(1, count + 1))
    assert counters.find({"pending": {"$gt": 0}}) == []


def test_a_relay_whose_slots_went_to_another_while_it_read_publishes_nothing(bus, relay, fake_clock, monkeypatch):
    open_counter("c1")
    find = counters.find

    def slowly(*arguments, **words):
        monkeypatch.undo()
        fake_clock.pass_time(11)
        new_relay(bus).step()
        return find(*arguments, **words)

    open_counter("c2")
    monkeypatch.setattr(counters, "find", slowly)
    assert relay.step() <= 1
    assert len(published(bus)) == 2


def test_a_relay_cut_off_anywhere_loses_nothing(bus, store, fake_clock):
    cut = 0
    for after in (False, True):
        for at in range(1, 15):
            id = f"{after}-{at}"
            open_counter(id, steps=2)
            store.fail(at, after)
            try:
                new_relay(bus).step()
            except StoreDown:
                cut += 1
            store.fail(0, False)
            fake_clock.pass_time(11)
            new_relay(bus).step()
            fake_clock.pass_time(11)
            assert counters.get(id)["pending"] == 0
    ids = [record.headers["ce_id"] for record in published(bus)]
    assert len(set(ids)) == 2 * 2 * 14
    assert cut >= 8


def test_a_second_relay_takes_over_when_the_first_is_gone(bus, fake_clock):
    first, second = new_relay(bus), new_relay(bus)
    first.step()
    open_counter("c1")
    assert second.step() + second.step() <= 1
    fake_clock.pass_time(11)
    second.step()
    assert counters.get("c1")["pending"] == 0


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
    letters = deadletters.of_key(TOPIC, "bad")
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
    deadletters.ask_redrive(deadletters.of_key(TOPIC, "bad")[-1])
    fake_clock.pass_time(2)
    reader.run()
    assert reader.seen == [f"bad:{n}" for n in (1, 2, 3, 4)]
    assert (deadletters.of_key(TOPIC, "bad"), total("bad")) == ([], 10)
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
    deadletters.ask_redrive(deadletters.of_key(TOPIC, "bad")[0])
    fake_clock.pass_time(2)
    reader.run()
    letters = deadletters.of_key(TOPIC, "bad")
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
    assert deadletters.of_key(TOPIC, "bad") == []
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
    (letter,) = deadletters.letters.every()
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
    (letter,) = deadletters.letters.every()
    assert "counter.invented" in letter["reason"]
    assert total("c1") == 2


def test_a_type_that_is_declared_but_not_read_is_skipped(bus, relay):
    counters.insert({"_id": "c1", **outbox.opened("c1", Ignored(counter="c1"), Counted(counter="c1", step=7))})
    relay.step()
    Reader(bus).run()
    assert total("c1") == 7
    assert list(deadletters.letters.every()) == []


def test_trouble_parks_nothing_and_the_batch_is_handled_later(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    reader = Reader(bus)
    reader.failing["c1"] = StoreDown("the disk is full")
    for _ in range(5):
        with pytest.raises(StoreDown):
            reader.consumer.step(wait=0)
    reader.failing.clear()
    reader.run()
    assert (total("c1"), list(deadletters.letters.every())) == (6, [])


def test_a_batch_whose_parked_keys_could_not_be_read_is_handled_later(bus, relay, store):
    open_counter("c1", steps=3)
    relay.step()
    reader = Reader(bus)
    store.fail(1, False)
    with pytest.raises(StoreDown):
        reader.consumer.step(wait=0)
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
        other.consumer.step(wait=0)
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
    reader.consumer.step(wait=0)
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
    (letter,) = deadletters.letters.every()
    assert (letter["key"], letter["attempts"]) == ("deadly", 3)
    assert total("good") == 1


def test_a_consumer_cut_off_anywhere_has_each_effect_once(bus, relay, store, fake_clock):
    cut = 0
    for after in (False, True):
        for at in range(1, 12):
            open_counter(f"{after}-{at}", steps=3)
            relay.step()
            reader = Reader(bus)
            store.fail(at, after)
            try:
                reader.run()
            except StoreDown:
                cut += 1
            store.fail(0, False)
            fake_clock.pass_time(11)
            Reader(bus).run()
            fake_clock.pass_time(11)
            assert total(f"{after}-{at}") == 6
    assert cut == 2 * 11
    assert list(deadletters.letters.every()) == []


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


def test_the_copies_of_many_dead_letters_of_one_key_leave_though_other_slots_are_empty(bus, relay):
    key = next(key for key in map(str, range(100)) if outbox.slot(key) % HANDS == HANDS - 1)  # the last hand's share
    for offset in range(2 * FEW):
        deadletters.park(Record(TOPIC, key, b"{}", {}, 0, offset), None, "unreadable", "", 1, blocks=False)
    relay.step()
    assert len(published(bus, "totals.dead")) == 2 * FEW


def test_a_relay_stops_when_it_is_told_and_leaves_its_slots(bus):
    stop = threading.Event()
    stop.set()
    new_relay(bus).run(stop)
    assert leasing.Slots(leases, "relay", 16, 10).held().keys() == set(range(16))


def test_what_waits_is_counted_whole_and_each_slot_by_one_relay(fake_clock):
    def told(*slots):
        backlog([Embedded("counters", counters)], lambda: slots)()
        names = ("outbox_pending", "outbox_oldest_age_seconds")
        return [REGISTRY.get_sample_value(name, {"collection": "counters"}) for name in names]

    for number in range(120):
        open_counter(f"c{number:03}", steps=3)
        fake_clock.pass_time(1)
    every = range(outbox.SLOTS)
    assert told(*every) == [360, 120]
    shares = [told(*every[hand::3]) for hand in range(3)]
    assert (sum(count for count, _ in shares), max(age for _, age in shares)) == (360, 120)
    assert told() == [0, 0]


def test_what_waits_is_told_while_the_log_takes_nothing(bus, relay, monkeypatch):
    class Once(threading.Event):
        def wait(self, timeout=None):
            self.set()
            return True

    open_counter("c1", steps=7)
    monkeypatch.setattr(bus, "publish", lambda records, timeout: [OSError()] * len(records))
    relay.run(Once())
    assert REGISTRY.get_sample_value("outbox_pending", {"collection": "counters"}) == 7


def test_what_waits_is_asked_for_seldom_and_no_trouble_with_it_holds_up_the_relay(relay, store):
    asked = []
    looking = Seldom(lambda: asked.append(store.fail(1, False)) or counters.get("c1"))
    for _ in range(3):
        looking()
    assert len(asked) == 1


def test_an_event_that_is_not_acknowledged_is_counted_as_failed(bus, relay, monkeypatch):
    def counted(name):
        return REGISTRY.get_sample_value(name, {"collection": "counters"}) or 0

    open_counter("c1", steps=2)
    before = counted("relay_failed_total"), counted("relay_published_total")
    monkeypatch.setattr(bus, "publish", lambda records, timeout: [OSError()] * len(records))
    with pytest.raises(Trouble):
        relay.step()
    monkeypatch.undo()
    relay.step()
    assert (counted("relay_failed_total"), counted("relay_published_total")) == (before[0] + 2, before[1] + 2)
