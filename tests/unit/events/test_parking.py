"""An event that cannot be handled is parked with the later ones of its key, and blocks no other key."""

import pytest

from chassis.bus import Record
from chassis.events import dead_letters
from chassis.events.consumer import Consumer
from chassis.testing import capture_logs
from tests.unit.events.counters import (
    TOPIC,
    Alarm,
    Counted,
    Erased,
    TotalsConsumer,
    append,
    counters,
    open_counter,
    park_counter,
    published,
    total,
)


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


@pytest.mark.parametrize(
    ("value", "attempts"), [(b'{"counter": "x"}', 1), (b"{no JSON", 1), (b'{"counter": "bad", "step": 1}', 3)]
)
def test_dead_letter_says_how_often_its_event_was_attempted(bus, value, attempts):
    headers = {"ce_id": "x:1", "ce_source": "counters", "ce_type": "counter.counted", "ce_subject": "x"}
    headers |= {"ce_time": "2026-01-01T00:00:00Z", "ce_sequence": "1"}
    bus.publish([Record(TOPIC, "x", value, headers)], 5)
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    with capture_logs() as lines:
        reader.run()
    (dead_letter,) = dead_letters.collection.iterate()
    assert dead_letter["attempts"] == attempts
    (parked,) = (line for line in lines if line["message"] == "event parked")
    assert (parked["level"], parked["eventType"], parked["key"]) == ("error", "counter.counted", "x")
    assert parked["reason"] == dead_letter["reason"] != ""


def test_value_of_an_invalid_event_is_in_no_reason_and_no_log(bus, relay):
    open_counter("c1")
    relay.step()
    reader = TotalsConsumer(bus)
    reader.consumer = Consumer(
        bus.consumer("totals", [TOPIC]), {Counted: lambda event, meta: Counted.read({"counter": 7, "step": "ada@shop"})}
    )
    with capture_logs() as lines:
        reader.run()
    (dead_letter,) = dead_letters.collection.iterate()
    assert "step" in dead_letter["reason"] and "ada" not in str(lines) + dead_letter["reason"]


def test_dead_letter_is_copied_to_the_dead_topic_with_its_reason(bus, relay, fake_clock):
    park_counter(bus, relay, "bad")
    fake_clock.pass_time(2)  # the poll interval of dead letters
    relay.step()
    (copy,) = published(bus, "totals.dead")
    assert copy.key == "bad" and "I cannot" in copy.headers["x-reason"]


def test_erasing_event_deletes_the_dead_letters_of_its_key(bus, relay):
    reader = park_counter(bus, relay, "bad", steps=2)
    append("bad", Erased(counter="bad"))
    relay.step()
    reader.run()
    assert dead_letters.of_key(TOPIC, "bad") == []
    assert reader.seen == ["bad:3"]


def test_erasing_event_deletes_dead_letters_that_block_nothing(bus, relay):
    bus.publish([Record(TOPIC, "gone", b"{no JSON", {"ce_type": "counter.counted"})], 5)
    open_counter("gone")
    append("gone", Erased(counter="gone"))
    relay.step()
    reader = TotalsConsumer(bus)
    reader.run()
    assert reader.seen == ["gone:1", "gone:2"]
    assert dead_letters.of_key(TOPIC, "gone") == []
