"""The relay on an embedded bus: events are published in order, none is lost, and no two workers publish the same."""

import threading

import pytest
from prometheus_client import REGISTRY

from chassis.bus import BusUnavailable, Record
from chassis.errors import TransientError
from chassis.events import dead_letters, outbox
from chassis.events.backlog import backlog
from chassis.events.outbox import EmbeddedOutbox
from chassis.events.relay import MAX_DOCUMENTS, MAX_PER_AGGREGATE, PARALLEL_THRESHOLD, WORKERS
from chassis.observe.throttled import Throttled
from chassis.store import leases as leasing
from tests.unit.events.counters import TOPIC, Counted, append, counters, leases, new_relay, open_counter, published


def test_events_are_published_in_order_and_cleared(bus, relay):
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


def test_event_appended_during_publishing_is_not_cleared(bus, relay, monkeypatch):
    open_counter("c1")
    publish = bus.publish

    def slowly(records, timeout_s):
        result = publish(records, timeout_s)
        append("c1", Counted(counter="c1", step=2))
        monkeypatch.undo()
        return result

    monkeypatch.setattr(bus, "publish", slowly)
    relay.step()
    doc = counters.get("c1")
    assert (doc["pending"], [entry["seq"] for entry in doc["outbox"]]) == (1, [2])


def test_relay_resuming_after_its_lease_expired_clears_nothing_twice(bus, relay):
    open_counter("c1", steps=2)
    source = EmbeddedOutbox("counters", counters)
    (asleep,) = source.pending(range(16), 10)
    relay.step()
    append("c1", Counted(counter="c1", step=3))
    source.clear([(asleep, 2)])
    assert counters.get("c1")["pending"] == 1
    relay.step()
    assert len({record.headers["ce_id"] for record in published(bus)}) == 3


def test_unacknowledged_events_stay_pending_and_are_published_later(bus, relay, monkeypatch):
    open_counter("c1", steps=3)
    monkeypatch.setattr(bus, "publish", lambda records, timeout_s: [TransientError("down")] * len(records))
    with pytest.raises(TransientError, match="down"):
        relay.step()
    monkeypatch.undo()
    assert counters.get("c1")["pending"] == 3
    relay.step()
    assert counters.get("c1")["pending"] == 0


def test_only_events_acknowledged_before_a_failure_are_cleared(bus, relay, monkeypatch):
    open_counter("c1", steps=3)
    open_counter("c2", steps=3)
    monkeypatch.setattr(
        bus, "publish", lambda records, timeout_s: [None, TransientError("down"), None, None, None, None]
    )
    assert relay.step() == 4
    monkeypatch.undo()
    assert [counters.get(id)["pending"] for id in ("c1", "c2")] == [2, 0]
    relay.step()
    assert [record.headers["ce_sequence"] for record in published(bus) if record.key == "c1"] == ["2", "3"]


def test_many_pending_events_are_published_in_order_by_workers(bus, relay):
    ids = [f"c{number}" for number in range(3 * MAX_DOCUMENTS)]
    for id in ids:
        open_counter(id, steps=3)
    open_counter("long", steps=5 * MAX_PER_AGGREGATE)
    sums = [relay.step() for _ in range(8)]
    assert sum(sums) == 9 * MAX_DOCUMENTS + 5 * MAX_PER_AGGREGATE
    found = published(bus)
    for id in ("long", *ids):
        count = 5 * MAX_PER_AGGREGATE if id == "long" else 3
        sequence = [int(record.headers["ce_sequence"]) for record in found if record.key == id]
        assert sequence == list(range(1, count + 1))
    assert counters.find({"pending": {"$gt": 0}}) == []


def test_relay_that_lost_its_slots_while_reading_publishes_nothing(bus, relay, fake_clock, monkeypatch):
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


def test_relay_interrupted_anywhere_loses_no_event(bus, store, fake_clock):
    interrupted = 0
    for after in (False, True):
        for at in range(1, 15):
            id = f"{after}-{at}"
            open_counter(id, steps=2)
            interrupted += store.interrupts(new_relay(bus).step, at, after)
            fake_clock.pass_time(11)
            new_relay(bus).step()
            fake_clock.pass_time(11)
            assert counters.get(id)["pending"] == 0
    ids = [record.headers["ce_id"] for record in published(bus)]
    assert len(set(ids)) == 2 * 2 * 14
    assert interrupted >= 8


def test_second_relay_takes_over_when_the_first_is_gone(bus, fake_clock):
    first, second = new_relay(bus), new_relay(bus)
    first.step()
    open_counter("c1")
    assert second.step() + second.step() <= 1
    fake_clock.pass_time(11)
    second.step()
    assert counters.get("c1")["pending"] == 0


def test_many_dead_letters_of_one_slot_are_all_copied(bus, relay):
    key = next(key for key in map(str, range(100)) if outbox.slot_of(key) % WORKERS == WORKERS - 1)
    for offset in range(2 * PARALLEL_THRESHOLD):
        dead_letters.park(Record(TOPIC, key, b"{}", {}, 0, offset), None, "unreadable", "", 1, blocks=False)
    relay.step()
    assert len(published(bus, "totals.dead")) == 2 * PARALLEL_THRESHOLD


def test_relay_releases_its_slots_when_it_stops(bus):
    stop = threading.Event()
    stop.set()
    new_relay(bus).run(stop)
    assert leasing.Slots(leases, "relay", 16, 10).held().keys() == set(range(16))


def test_backlog_is_counted_per_slot_and_adds_up(fake_clock):
    def exported(*slots):
        backlog([EmbeddedOutbox("counters", counters)], lambda: slots)()
        names = ("mercato_outbox_pending", "mercato_outbox_oldest_age_seconds")
        return [REGISTRY.get_sample_value(name, {"collection": "counters"}) for name in names]

    for number in range(120):
        open_counter(f"c{number:03}", steps=3)
        fake_clock.pass_time(1)
    every = range(outbox.SLOTS)
    assert exported(*every) == [360, 120]
    shares = [exported(*every[hand::3]) for hand in range(3)]
    assert (sum(count for count, _ in shares), max(age for _, age in shares)) == (360, 120)
    assert exported() == [0, 0]


def test_backlog_is_exported_while_the_bus_is_unavailable(bus, relay, monkeypatch):
    class Once(threading.Event):
        def wait(self, timeout=None):
            self.set()
            return True

    open_counter("c1", steps=7)
    monkeypatch.setattr(bus, "publish", lambda records, timeout_s: [OSError()] * len(records))
    relay.run(Once())
    assert REGISTRY.get_sample_value("mercato_outbox_pending", {"collection": "counters"}) == 7


def test_throttled_function_runs_rarely_and_ignores_transient_errors(relay, store):
    asked = []
    looking = Throttled(lambda: asked.append(store.fail(1, False)) or counters.get("c1"))
    for _ in range(3):
        looking()
    assert len(asked) == 1


def test_unacknowledged_event_is_counted_as_failed(bus, relay, monkeypatch):
    def counted(name):
        return REGISTRY.get_sample_value(name, {"collection": "counters"}) or 0

    open_counter("c1", steps=2)
    before = counted("mercato_relay_failed_total"), counted("mercato_relay_published_total")
    monkeypatch.setattr(bus, "publish", lambda records, timeout_s: [OSError()] * len(records))
    with pytest.raises(TransientError):
        relay.step()
    monkeypatch.undo()
    relay.step()
    assert (counted("mercato_relay_failed_total"), counted("mercato_relay_published_total")) == (
        before[0] + 2,
        before[1] + 2,
    )


def test_bus_that_acknowledges_nothing_is_unavailable(bus, relay, monkeypatch, fake_clock):
    def unavailable():
        return REGISTRY.get_sample_value("mercato_bus_unavailable_seconds")

    open_counter("c1", steps=2)
    monkeypatch.setattr(bus, "publish", lambda records, timeout_s: [BusUnavailable("down")] * len(records))
    with pytest.raises(TransientError):
        relay.step()
    fake_clock.pass_time(20)
    assert unavailable() == 20
    monkeypatch.undo()
    fake_clock.pass_time(20)  # the lease is taken again
    relay.step()
    assert unavailable() == 0
