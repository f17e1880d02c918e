"""No record stops a consumer: whatever is raised at whatever line around a handler, and whatever telemetry raises."""

import sys
from pathlib import Path

import pytest

import chassis.events
from chassis.bus import Record
from chassis.errors import OutcomeUnknown, TransientError
from chassis.events import dead_letters
from chassis.events.consumer import Consumer
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.store import StoreUnavailable
from chassis.testing import capture_logs
from tests.sizes import by_form
from tests.unit.events.counters import TOPIC, Counted, append, open_counter
from tests.unit.events.test_consumer import TotalsConsumer, total

FOLDER = str(Path(chassis.events.__file__).parent)
ERRORS = [
    ValueError("a defect"),
    KeyError("ce_time"),
    MemoryError(),
    RecursionError(),
    SystemExit(),
    KeyboardInterrupt(),
]
TRANSIENT = [StoreUnavailable("the disk is full"), OutcomeUnknown("late"), TransientError("away")]


class RaiseAtLine:
    """Raises an error once, at the line with this number of all that `Consumer._handle` runs in chassis.events."""

    def __init__(self, number, error):
        self.left, self.error, self.where = number, error, ""

    def __enter__(self):
        sys.settrace(self._trace)

    def __exit__(self, *_):
        sys.settrace(None)

    def _trace(self, frame, event, _):
        caller = frame.f_back
        while caller and caller.f_code is not Consumer._handle.__code__:
            caller = caller.f_back
        return self._line if caller and frame.f_code.co_filename.startswith(FOLDER) else None

    def _line(self, frame, event, _):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.where = f"{frame.f_code.co_name}:{frame.f_lineno}"
                raise self.error
        return self._line


def at_each_line(bus, relay, errors, poisoned):
    """Yield (key, reader, interruption) for each line around a handler, with one of the errors after the other."""
    for number in range(1, 400, by_form(6, 1)):
        key = f"{poisoned}-{number}"
        open_counter(key)
        relay.step()
        reader = TotalsConsumer(bus)
        if poisoned:
            reader.failing[key] = ValueError("I cannot")
        interruption = RaiseAtLine(number, errors[number % len(errors)])
        yield key, reader, interruption
        reader.consumer._member.close()
        if not interruption.where:
            assert number > 20, "there are lines around a handler"
            return
    raise AssertionError("the lines do not end")


@pytest.mark.parametrize("poisoned", [False, True])
def test_error_at_any_line_around_a_handler_handles_or_parks_the_record(bus, relay, poisoned):
    for key, reader, interruption in at_each_line(bus, relay, ERRORS, poisoned):
        with interruption:
            reader.run()
        parked = dead_letters.of_key(TOPIC, key)
        assert parked or (total(key) == 1 and not poisoned), interruption.where
        assert set(reader.consumer._member.lag().values()) <= {0}, interruption.where


@pytest.mark.parametrize("poisoned", [False, True])
def test_transient_error_at_any_line_waits_and_then_handles_the_record(bus, relay, poisoned):
    for key, reader, interruption in at_each_line(bus, relay, TRANSIENT, poisoned):
        try:
            with interruption:
                reader.run()
        except TransientError:
            assert interruption.where and not (dead_letters.of_key(TOPIC, key) and not poisoned)
            reader.run()
        else:
            assert not interruption.where, interruption.where
        assert (total(key), len(dead_letters.of_key(TOPIC, key))) == ((None, 1) if poisoned else (1, 0))


def test_outage_that_lasts_long_parks_nothing(bus, relay):
    open_counter("c1", steps=3)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["c1"] = OutcomeUnknown("the provider does not answer")
    for _ in range(50):
        with pytest.raises(OutcomeUnknown):
            reader.consumer.step(wait_s=0)
    assert list(dead_letters.collection.iterate()) == []
    reader.failing.clear()
    reader.run()
    assert total("c1") == 6


class Broken:
    """A metric, recorder or writer that raises whatever is called."""

    def __getattr__(self, name):
        raise ValueError("telemetry is broken")

    def __getitem__(self, name):
        raise ValueError("telemetry is broken")

    def __call__(self, *_):
        raise ValueError("telemetry is broken")


def test_metric_that_raises_stops_no_record(bus, relay, monkeypatch):
    for name in ("consumer_events", "consumer_delay", "consumer_lag", "dead_letters"):
        monkeypatch.setattr(metrics, name, Broken())
    open_counter("good", steps=2)
    open_counter("bad", steps=2)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    assert (total("good"), len(dead_letters.of_key(TOPIC, "bad")), len(dead_letters.of_key(TOPIC, "good"))) == (3, 2, 0)


@pytest.mark.parametrize("broken", ["recorder", "log"])
def test_trace_or_log_that_raises_stops_no_record(bus, relay, monkeypatch, broken):
    if broken == "log":
        monkeypatch.setattr(log, "write", Broken())
        monkeypatch.setattr(log, "export", Broken())
    else:
        monkeypatch.setattr(trace, "_recorder", Broken())
    open_counter("good", steps=2)
    open_counter("bad")
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
    assert (total("good"), len(dead_letters.of_key(TOPIC, "bad"))) == (3, 1)


class ClosesBadly(trace.Span):
    """A span that fails when it ends."""

    def __exit__(self, *error):
        super().__exit__(*error)
        raise ValueError("the exporter is broken")


def test_span_that_fails_when_it_ends_neither_parks_nor_hides_an_error(bus, relay, monkeypatch):
    monkeypatch.setattr(trace, "continue_trace", lambda *_, **__: ClosesBadly(""))
    open_counter("c1", steps=2)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["c1"] = StoreUnavailable("the disk is full")
    with pytest.raises(StoreUnavailable):
        reader.consumer.step(wait_s=0)
    reader.failing.clear()
    reader.run()
    assert (reader.seen, list(dead_letters.collection.iterate())) == (["c1:1", "c1:2"], [])


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


def test_redrive_of_a_malformed_record_does_not_hold_back_the_key(bus, relay, fake_clock):
    bus.publish([Record(TOPIC, "bad", b"{no JSON", {})], 5)
    open_counter("bad", steps=2)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
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


def test_failed_redrive_is_not_repeated_until_it_is_requested_again(bus, relay, fake_clock):
    open_counter("bad", steps=3)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
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


def test_redrive_waits_for_an_outage_while_consumption_goes_on(bus, relay, fake_clock):
    open_counter("bad")
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing["bad"] = ValueError("I cannot")
    reader.run()
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


def test_erasing_event_deletes_dead_letters_that_block_nothing(bus, relay):
    from tests.unit.events.counters import Erased

    bus.publish([Record(TOPIC, "gone", b"{no JSON", {"ce_type": "counter.counted"})], 5)
    open_counter("gone")
    append("gone", Erased(counter="gone"))
    relay.step()
    reader = TotalsConsumer(bus)
    reader.run()
    assert reader.seen == ["gone:1", "gone:2"]
    assert dead_letters.of_key(TOPIC, "gone") == []
