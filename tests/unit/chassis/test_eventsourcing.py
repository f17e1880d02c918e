"""Concurrent decisions about one stream: the second is made again, on the commit of the first."""

import pytest

from chassis.events.eventsourcing import Streams
from chassis.messages import Event


class Taken(Event, type="seat.taken", key="seat"):
    seat: str
    by: str


class Seat:
    def __init__(self, by=""):
        self.by = by

    def apply(self, event, time):
        return Seat(event.by)


@pytest.fixture
def seats(store, fake_clock):
    streams = Streams("seats", Taken)
    streams.attach(store).ensure_indexes()
    return streams


def take(seats, by):
    return seats.execute("s1", Seat(), lambda seat: None if seat.by else Taken(seat="s1", by=by)).by


def test_one_of_two_concurrent_decisions_wins(seats, monkeypatch):
    load = seats.load

    def another_is_faster(stream):
        history = load(stream)
        monkeypatch.undo()
        assert take(seats, "bob") == "bob"
        return history

    monkeypatch.setattr(seats, "load", another_is_faster)
    assert take(seats, "ada") == "bob"
    assert [commit.version for commit in seats.load("s1")] == [1]
