"""No error stops a consumer, at whichever line around a handler it is raised, and not an error of telemetry."""

import sys
from pathlib import Path

import pytest

import chassis.events
from chassis.errors import OutcomeUnknown, TransientError
from chassis.events import dead_letters
from chassis.events.consumer import Consumer
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.store import StoreUnavailable
from tests.sizes import by_form
from tests.unit.events.counters import TOPIC, TotalsConsumer, open_counter, park_counter, total

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
    park_counter(bus, relay, "bad", steps=2)
    assert (total("good"), len(dead_letters.of_key(TOPIC, "bad")), len(dead_letters.of_key(TOPIC, "good"))) == (3, 2, 0)


@pytest.mark.parametrize("broken", ["recorder", "log"])
def test_trace_or_log_that_raises_stops_no_record(bus, relay, monkeypatch, broken):
    if broken == "log":
        monkeypatch.setattr(log, "write", Broken())
        monkeypatch.setattr(log, "export", Broken())
    else:
        monkeypatch.setattr(trace, "_recorder", Broken())
    open_counter("good", steps=2)
    park_counter(bus, relay, "bad")
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
