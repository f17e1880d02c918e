"""What fails three times is set aside: by the relay with its aggregate, by a job alone. Everything else goes on."""

import pytest
from prometheus_client import REGISTRY

from chassis.bus import MAX_RECORD_BYTES, BusUnavailable, Record
from chassis.errors import TransientError
from chassis.events import dead_letters, outbox, set_aside
from chassis.events.backlog import backlog
from chassis.events.eventsourcing import StreamOutbox, Streams
from chassis.events.outbox import LatestStateOutbox, return_set_aside
from chassis.events.relay import Relay
from chassis.events.set_aside import SetAside
from chassis.operations.outboxes import Outboxes
from chassis.store import Collection, Index, StoreUnavailable
from tests.unit.events.counters import TOPIC, Counted, append, counters, leases, open_counter, published

streams = Streams("streams", Counted)
levels = Collection("levels", outbox.PENDING_INDEX)
work = Collection("work", Index("due"))


@pytest.fixture(autouse=True)
def stored(store, bound):
    for collection in (streams, levels, work):
        collection.attach(store).ensure_indexes()


def entries():
    return {(entry["source"], entry["id"]): entry for entry in set_aside.entries.iterate()}


def steps(relay, times=5):
    return [relay.step() for _ in range(times)]


def break_outbox(id):
    """Make the outbox of a counter unreadable, as a defect of an earlier release may leave it."""
    entry = counters.get(id)["outbox"][0]
    counters.update(id, {"$set": {"outbox": [{name: entry[name] for name in entry if name != "data"}]}})


def test_unreadable_entry_is_set_aside_and_the_others_are_published(bus, relay):
    open_counter("broken")
    break_outbox("broken")
    for number in range(20):
        open_counter(f"good-{number:02}")
    assert sum(steps(relay)) == 20
    entry = entries()["counters", "broken"]
    assert (entry["attempts"], entry["reason"]) == (3, "KeyError: 'data'")
    assert counters.get("broken")["pending"] == 1, "it is kept"
    backlog(relay._outboxes, lambda: range(16))()
    relay._set_aside["counters"].export()
    assert REGISTRY.get_sample_value("mercato_outbox_pending", {"collection": "counters"}) == 0
    assert REGISTRY.get_sample_value("mercato_set_aside", {"source": "counters"}) == 1


def test_aggregate_that_is_set_aside_keeps_its_order_until_it_is_tried_again(bus, relay):
    counters.insert({"_id": "c1", **outbox.new_outbox("c1", Counted(counter="x" * MAX_RECORD_BYTES, step=1))})
    bus_publish, bus.publish = bus.publish, lambda records, timeout_s: limited(bus_publish, records, timeout_s)
    assert steps(relay) == [0] * 5
    append("c1", Counted(counter="c1", step=2))
    open_counter("c2")
    assert sum(steps(relay)) == 1, "its later events wait behind it"
    small = {**counters.get("c1")["outbox"][0], "data": {"counter": "c1", "step": 1}}
    counters.update("c1", {"$set": {"outbox": [small, *counters.get("c1")["outbox"][1:]]}})
    assert return_set_aside(counters) == 1
    assert sum(steps(relay)) == 2
    assert [each.headers["ce_sequence"] for each in published(bus) if each.key == "c1"] == ["1", "2"]
    assert return_set_aside(counters) == 0


def limited(publish, records, timeout_s):
    """Publish as the bus on Kafka does, which rejects records that are too large."""
    if all(len(record.value) <= MAX_RECORD_BYTES for record in records):
        return publish(records, timeout_s)
    return [
        ValueError("too large") if len(one.value) > MAX_RECORD_BYTES else publish([one], timeout_s)[0]
        for one in records
    ]


def test_later_commit_of_a_stream_waits_behind_one_that_is_set_aside(bus, relay):
    relay = Relay([StreamOutbox("counters", streams)], bus, leases, lease_s=10, poll_s=0.1)
    for stream in ("s1", "s2"):
        streams.append(stream, Counted(counter=stream, step=1), [])
    (row,) = streams.find({"stream": "s1"}, sort="version")
    streams.update(row["_id"], {"$unset": {"data": True}})
    assert sum(steps(relay)) == 1
    assert entries().keys() == {("streams", "s1")}
    streams.update(row["_id"], {"$set": {"data": {"counter": "s1", "step": 1}}})
    streams.append("s1", Counted(counter="s1", step=2), streams.load("s1"))
    assert sum(steps(relay)) == 0
    assert return_set_aside(streams) == 2
    assert sum(steps(relay)) == 2
    assert [each.headers["ce_sequence"] for each in published(bus) if each.key == "s1"] == ["1", "2"]


def test_stream_is_returned_in_order_while_a_relay_polls(bus, monkeypatch):
    relay = Relay([StreamOutbox("counters", streams)], bus, leases, lease_s=10, poll_s=0.1)
    for step in (1, 2, 3):
        streams.append("s1", Counted(counter="s1", step=step), streams.load("s1"))
    relay._outboxes[0].set_aside("s1")
    streams.append("s1", Counted(counter="s1", step=4), streams.load("s1"))
    update = streams.update

    def update_and_poll(*arguments, **options):
        monkeypatch.setattr(streams, "update", update)
        done = update(*arguments, **options)
        relay.step()
        monkeypatch.setattr(streams, "update", update_and_poll)
        return done

    monkeypatch.setattr(streams, "update", update_and_poll)
    return_set_aside(streams)
    monkeypatch.undo()
    relay.step()
    assert [each.headers["ce_sequence"] for each in published(bus) if each.key == "s1"] == ["1", "2", "3", "4"]
    assert streams.count(outbox.SET_ASIDE) == 0


def test_stream_that_is_returned_during_a_poll_is_published_in_order(bus, monkeypatch):
    relay = Relay([StreamOutbox("counters", streams)], bus, leases, lease_s=10, poll_s=0.1)
    for step in (1, 2):
        streams.append("s1", Counted(counter="s1", step=step), streams.load("s1"))
    relay._outboxes[0].set_aside("s1")
    streams.append("s1", Counted(counter="s1", step=3), streams.load("s1"))
    find = streams.find

    def find_and_return(where, **options):
        found = find(where, **options)
        if any(row["version"] == 3 for row in found):  # the pending commits, of which two are set aside still
            monkeypatch.undo()
            return_set_aside(streams)
        return found

    monkeypatch.setattr(streams, "find", find_and_return)
    steps(relay)
    assert [each.headers["ce_sequence"] for each in published(bus) if each.key == "s1"] == ["1", "2", "3"]


def test_what_fails_again_while_it_is_returned_stays_set_aside_with_its_entry(bus, relay, fake_clock, monkeypatch):
    for id in ("broken", "repaired"):
        open_counter(id)
        break_outbox(id)
    steps(relay)
    (entry,) = counters.get("repaired")["outbox"]
    counters.update("repaired", {"$set": {"outbox": [{**entry, "data": {"counter": "repaired", "step": 1}}]}})
    update, times = counters.update, []

    def update_and_fail(id, *arguments, **options):
        done = update(id, *arguments, **options)
        times.append(id)
        assert len(times) < 10, "it is returned for ever"
        monkeypatch.undo()
        fake_clock.pass_time(1)
        steps(relay)
        monkeypatch.setattr(counters, "update", update_and_fail)
        return done

    monkeypatch.setattr(counters, "update", update_and_fail)
    assert Outboxes("counters", [outbox.EmbeddedOutbox("counters", counters)]).retry_set_aside() == 2
    monkeypatch.undo()
    assert entries().keys() == {("counters", "broken")}
    assert [doc["_id"] for doc in counters.iterate(outbox.SET_ASIDE)] == ["broken"]
    assert [each.key for each in published(bus)] == ["repaired"]


def test_latest_state_that_makes_no_event_is_set_aside(bus):
    def make(doc):
        return Counted(counter=doc["_id"], step=doc["level"])

    relay = Relay([LatestStateOutbox("counters", levels, make)], bus, leases, lease_s=10, poll_s=0.1)
    for id, level in (("bad", None), ("good", 1)):
        fields = {"level": level, "updatedAt": "2026-11-30T11:00:00.000Z"}
        levels.insert({"_id": id, **outbox.new_outbox(id), "seq": 1, "pending": 1, **fields})
    assert sum(steps(relay)) == 1
    assert entries().keys() == {("levels", "bad")}


@pytest.mark.parametrize("error", [BusUnavailable("down"), TransientError("busy")])
def test_outage_of_the_bus_sets_nothing_aside(bus, relay, monkeypatch, error):
    open_counter("c1")
    monkeypatch.setattr(bus, "publish", lambda records, timeout_s: [error] * len(records))
    for _ in range(10):
        with pytest.raises(TransientError):
            relay.step()
    monkeypatch.undo()
    assert (entries(), relay.step()) == ({}, 1)


def test_record_that_breaks_the_publishing_of_all_is_set_aside_alone(bus, relay, monkeypatch):
    publish = bus.publish

    def break_at_bad(records, timeout_s):
        if any(record.key == "bad" for record in records):
            raise KeyError("a defect of the engine")
        return publish(records, timeout_s)

    monkeypatch.setattr(bus, "publish", break_at_bad)
    for id in ("bad", "good", "great"):
        open_counter(id)
    assert sum(steps(relay)) == 2
    assert entries().keys() == {("counters", "bad")}


def test_aggregate_that_cannot_be_cleared_is_set_aside_alone(bus, relay, monkeypatch):
    clear = outbox.EmbeddedOutbox.clear

    def fail_at_bad(self, acknowledged):
        if any(each.id == "bad" for each, _ in acknowledged):
            raise KeyError("a defect of the engine")
        clear(self, acknowledged)

    monkeypatch.setattr(outbox.EmbeddedOutbox, "clear", fail_at_bad)
    for id in ("bad", "good", "great"):
        open_counter(id)
    steps(relay)
    assert entries().keys() == {("counters", "bad")}
    assert [record.key for record in published(bus)].count("bad") == 3, "not at every poll for ever"
    assert [counters.get(id)["pending"] for id in ("bad", "good", "great")] == [1, 0, 0]


def test_dead_letter_without_headers_is_copied_and_counted(bus, relay, fake_clock):
    fake_clock.pass_time(100)
    record = Record(TOPIC, "k", b"{}", {}, 0, 7)
    dead_letters.park(record, None, "missing header 'ce_id'", "", 1, blocks=False)
    fake_clock.pass_time(5)
    backlog(relay._outboxes, lambda: range(16))()
    age_s = REGISTRY.get_sample_value("mercato_outbox_oldest_age_seconds", {"collection": "dead_letters"})
    assert age_s == 5, "its age is that of the dead letter"
    assert relay.step() == 1


def test_copy_of_a_large_dead_letter_is_cut_and_delays_nothing(bus, relay, monkeypatch):
    publish = bus.publish
    monkeypatch.setattr(bus, "publish", lambda records, timeout_s: limited(publish, records, timeout_s))
    headers = {"ce_type": "counter.counted", "ce_time": "2026-11-30T11:00:00Z"}
    dead_letters.park(Record(TOPIC, "k", b"x" * 1_000_000, headers, 0, 7), None, "unreadable", "", 1, blocks=False)
    open_counter("c1")
    assert relay.step() == 2
    (copy,) = published(bus, "totals.dead")
    assert (copy.key, copy.value, copy.headers["x-reason"]) == ("k", b"", "unreadable")
    assert copy.headers["x-cut"].endswith(" bytes")
    (dead_letter,) = dead_letters.collection.iterate()
    assert len(dead_letters.to_record(dead_letter).value) == 1_000_000, "the dead letter itself has it all"


class Job:
    """A job on `work` whose work on some entries raises."""

    def __init__(self):
        self.errors, self.done = {}, []
        self.aside = SetAside("job")

    def run(self, sort="_id"):
        self.aside.work_through(work, {"due": True}, self._do, sort)

    def _do(self, doc):
        if error := self.errors.get(doc["_id"]):
            raise error
        self.done.append(doc["_id"])


@pytest.mark.parametrize("sort", ["_id", "due"])
def test_entry_of_a_job_that_fails_three_times_is_set_aside_and_the_others_go_on(sort, monkeypatch):
    monkeypatch.setattr(set_aside, "_PAGE_SIZE", 3)
    job = Job()
    ids = [f"w{number:03}" for number in range(10)]
    for id in ids:
        work.insert({"_id": id, "due": True})
    job.errors = dict.fromkeys(ids[:7], ValueError("a defect"))
    for _ in range(4):
        job.run()
    assert job.done == ids[7:] * 4
    assert {id for _, id in entries()} == set(ids[:7])
    job.errors.clear()
    job.aside = SetAside("job")  # as in another process
    job.run()
    assert job.done == ids[7:] * 5
    for entry in list(set_aside.entries.iterate()):
        set_aside.entries.delete(entry["_id"])
    job.run()
    assert job.done[-10:] == ids


def test_transient_error_sets_no_entry_of_a_job_aside():
    job = Job()
    for id in ("a", "b"):
        work.insert({"_id": id, "due": True})
    job.errors["a"] = TransientError("busy")
    for _ in range(5):
        job.run()
    assert (job.done, entries()) == (["b"] * 5, {})
    job.errors["a"] = StoreUnavailable("the disk is full")
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            job.run()
    assert (job.done, entries()) == (["b"] * 5, {}), "without the store the others would fail, too"


def test_failures_of_an_entry_count_from_its_last_success():
    job = Job()
    work.insert({"_id": "a", "due": True})
    for _ in range(3):
        job.errors["a"] = ValueError("a defect")
        job.run()
        job.run()
        job.errors.clear()
        job.run()
    assert (job.done, entries()) == (["a"] * 3, {})
