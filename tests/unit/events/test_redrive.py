"""Redrive and discard: what an operator does with the dead letters of a parked key."""

from chassis.bus import Record
from chassis.errors import OutcomeUnknown
from chassis.events import dead_letters
from chassis.messages import Event
from chassis.testing import capture_logs
from tests.unit.events.counters import (
    TOPIC,
    Alarm,
    Counted,
    Ignored,
    TotalsConsumer,
    append,
    open_counter,
    park_counter,
    total,
)


class Later(Event, type="counter.later", key="counter"):
    """Declared in this module, which no consumer knows."""

    counter: str


Later.service = "counters"


def test_redrive_handles_the_key_in_order_and_unparks_it(bus, relay, fake_clock):
    reader = park_counter(bus, relay, "bad", steps=3)
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


def test_redrive_of_a_malformed_record_does_not_hold_back_the_key(bus, relay, fake_clock):
    bus.publish([Record(TOPIC, "bad", b"{no JSON", {})], 5)
    reader = park_counter(bus, relay, "bad", steps=2)
    reader.failing.clear()
    for dead_letter in dead_letters.of_key(TOPIC, "bad"):
        dead_letters.request_redrive(dead_letter)
    fake_clock.pass_time(2)
    reader.run()
    assert total("bad") == 3
    (malformed,) = dead_letters.of_key(TOPIC, "bad")
    assert (malformed["redrive"], malformed["blocks"]) == (False, False)
    append("bad", Counted(counter="bad", step=3))
    relay.step()
    reader.run()
    assert total("bad") == 6, "the key is not parked any more"


def test_redrive_waits_for_an_outage_while_consumption_goes_on(bus, relay, fake_clock):
    reader = park_counter(bus, relay, "bad")
    reader.failing["bad"] = OutcomeUnknown("the provider does not answer")
    dead_letters.request_redrive(dead_letters.of_key(TOPIC, "bad")[0])
    with capture_logs() as lines:
        for number in range(60):
            open_counter(f"good-{number}")
            relay.step()
            fake_clock.pass_time(1)
            reader.run()
            assert total(f"good-{number}") == 1
    waits = [line["retryInS"] for line in lines if line["message"] == "redrive interrupted; retrying"]
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0]
    reader.failing.clear()
    fake_clock.pass_time(60)
    reader.run()
    assert (total("bad"), dead_letters.of_key(TOPIC, "bad")) == (1, [])


def test_failed_redrive_keeps_all_dead_letters(bus, relay, fake_clock):
    reader = park_counter(bus, relay, "bad", steps=2)
    dead_letters.request_redrive(dead_letters.of_key(TOPIC, "bad")[0])
    fake_clock.pass_time(2)
    reader.run()
    parked = dead_letters.of_key(TOPIC, "bad")
    assert [(dead_letter["attempts"], dead_letter["redrive"]) for dead_letter in parked] == [(6, False), (0, False)]


def test_failed_redrive_is_not_repeated_until_it_is_requested_again(bus, relay, fake_clock):
    reader = park_counter(bus, relay, "bad", steps=3)
    for dead_letter in dead_letters.of_key(TOPIC, "bad"):
        dead_letters.request_redrive(dead_letter)
    with capture_logs() as lines:
        for _ in range(10):
            fake_clock.pass_time(2)
            reader.run()
    failed = [line for line in lines if line["message"] == "redrive failed; the dead letter stays"]
    assert [(line["key"], line["eventType"], line["reason"]) for line in failed] == [
        ("bad", "counter.counted", "ValueError: I cannot")
    ]
    assert [dead_letter["attempts"] for dead_letter in dead_letters.of_key(TOPIC, "bad")] == [6, 0, 0]


def test_event_type_that_a_release_learns_is_redriven_by_itself(bus, relay, fake_clock, monkeypatch):
    open_counter("good")
    append("good", Alarm(counter="good"))
    append("good", Ignored(counter="good"))
    relay.step()
    with monkeypatch.context() as release_before:
        release_before.setattr(Alarm, "type", "")
        release_before.setattr(Ignored, "type", "")
        before = TotalsConsumer(bus, handles=(Counted,))
    before.run()
    parked = [dead_letter["reason"] for dead_letter in dead_letters.of_key(TOPIC, "good")]
    assert parked == ["unknown event type counter.alarm", "unknown event type counter.ignored"]
    for dead_letter in dead_letters.of_key(TOPIC, "good"):
        dead_letters.request_redrive(dead_letter)  # as the new release does just before it loses the partition
    fake_clock.pass_time(2)
    before.run()
    assert len(dead_letters.of_key(TOPIC, "good")) == 2
    before.leave()
    after = TotalsConsumer(bus)
    after.run()
    fake_clock.pass_time(2)
    after.run()
    assert (after.seen, dead_letters.of_key(TOPIC, "good"), total("good")) == (["good:2"], [], 1)


def test_unknown_malformed_and_failed_events_stay_parked_after_a_restart(bus, relay, fake_clock):
    open_counter("good")
    append("good", Later(counter="good"))
    bus.publish([Record(TOPIC, "good", b"{no JSON", {"ce_type": "counter.counted"})], 5)
    reader = park_counter(bus, relay, "bad")
    reader.leave()
    again = TotalsConsumer(bus)
    again.run()
    fake_clock.pass_time(2)
    again.run()
    parked = list(dead_letters.collection.iterate())
    assert sorted(each["key"] for each in parked) == ["bad", "good", "good"]
    assert sorted((each["attempts"], each["redrive"]) for each in parked) == [(1, False), (1, False), (3, False)]
    assert again.seen == []


def test_discarded_dead_letter_is_recorded_and_releases_its_key(bus, relay, fake_clock):
    open_counter("bad")
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("ada@shop.example cannot")
    reader.run()
    reader.failing.clear()
    (dead_letter,) = dead_letters.of_key(TOPIC, "bad")
    dead_letters.discard(dead_letter, "a test event")
    fake_clock.pass_time(6)
    reader.run()
    append("bad", Counted(counter="bad", step=2))
    relay.step()
    reader.run()
    assert (total("bad"), dead_letters.of_key(TOPIC, "bad")) == (2, []), "the event itself takes no effect"
    (record,) = dead_letters.discarded.iterate()
    assert (record["reason"], record["type"], record["key"]) == ("a test event", "counter.counted", "bad")
    assert "ada" not in str(record) and "value" not in record and "headers" not in record
