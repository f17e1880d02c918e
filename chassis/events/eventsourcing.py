"""Event sourcing: an aggregate is the fold of its stream, and a commit is one document that is also its outbox entry.

    {_id: "<stream>:000002", stream, version: 2, sequence: 1, type, data, time, pending: 1, slot}

The `_id` is the optimistic lock: of two commits of one version, one is refused. `sequence` counts the public events
alone, 0 for one that stays inside; only public ones are published.
"""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Collection as Some
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol, Self, TypeVar

from chassis import clock
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.events.outbox import PENDING, PendingEvents, find_pending, slot
from chassis.messages import Event
from chassis.observe import trace
from chassis.store import Collection, Duplicate, Index, UpdateOne

LONGEST_STREAM = 1000
_TRIES = 10


@dataclass(frozen=True)
class Commit:
    """One event of a stream, with its place and time."""

    version: int
    sequence: int
    time: str
    event: Event
    dedup_key: str = ""


class Aggregate(Protocol):
    """The state that a stream folds to: frozen, begun empty, one `apply` for each event."""

    def apply(self, event: Event, time: str) -> Self: ...


A = TypeVar("A", bound=Aggregate)


class Streams(Collection):
    """The streams of one kind of aggregate. `events` are all the types that may stand in them."""

    def __init__(self, name: str, *events: type[Event]) -> None:
        super().__init__(name, PENDING, Index("stream", "version"))
        self._types = {event.type: event for event in events}

    def load(self, stream: str) -> list[Commit]:
        """Every commit of a stream, from version 1 on; empty where there is none."""
        rows = self.find({"stream": stream}, sort="version", limit=LONGEST_STREAM)
        return [
            Commit(
                row["version"],
                row["sequence"],
                row["time"],
                self._types[row["type"]].read(row["data"]),
                row["dedupKey"],
            )
            for row in rows
        ]

    def append(self, stream: str, event: Event, history: list[Commit], dedup_key: str = "") -> Commit:
        """Commit one event behind `history`. Raises Duplicate if the stream has grown meanwhile."""
        version = len(history) + 1
        if version > LONGEST_STREAM:
            raise TransientError("the stream is full")
        public = sum(commit.sequence > 0 for commit in history)
        sequence = public + 1 if event.public else 0
        commit = Commit(version, sequence, clock.timestamp(), event, dedup_key)
        self.insert(
            {
                "_id": f"{stream}:{version:06d}",
                "stream": stream,
                "version": version,
                "sequence": sequence,
                "type": event.type,
                "data": event.data(),
                "time": commit.time,
                "dedupKey": dedup_key,
                "traceparent": trace.traceparent(),
                "pending": int(event.public),
                "slot": slot(stream),
            }
        )
        return commit

    def streams(self) -> Iterator[str]:
        """The names of all streams, in their order: the commits of one stand together."""
        return (stream for stream, _ in groupby(row["stream"] for row in self.iterate()))

    def execute(
        self,
        stream: str,
        empty: A,
        decide: Callable[[A], Event | None],
        dedup_key: str = "",
        committed: Callable[[A, Event], None] = lambda state, event: None,
    ) -> A:
        """Fold, decide, commit, and again if another commit came first; the state afterwards.

        `decide` gets the state and returns an event, None where nothing is to be done, or raises a DomainError. Under a
        `dedup_key` that the stream holds already, it was decided before. `committed` is told what came of a commit.
        """
        for _ in range(_TRIES):
            history = self.load(stream)
            state = fold(empty, history)
            event = None if dedup_key and any(commit.dedup_key == dedup_key for commit in history) else decide(state)
            if event is None:
                return state
            try:
                commit = self.append(stream, event, history, dedup_key)
            except Duplicate:
                continue
            state = state.apply(commit.event, commit.time)
            committed(state, commit.event)
            return state
        raise TransientError("too many commits to one stream at once")


def fold(empty: A, history: list[Commit]) -> A:
    """The state after these commits."""
    state = empty
    for commit in history:
        state = state.apply(commit.event, commit.time)
    return state


class StreamOutbox:
    """The outbox of streams: the commits that are public and not yet acknowledged."""

    idle_poll_s = 0.0

    def __init__(self, service: str, streams: Streams) -> None:
        self._service, self.collection = service, streams

    def pending(self, slots: Some[int], limit: int) -> list[PendingEvents]:
        found: dict[str, PendingEvents] = {}
        for row in find_pending(self.collection, slots, limit):
            item: dict[str, Any] = {**row, "seq": row["sequence"]}
            each = found.setdefault(row["stream"], PendingEvents(row["stream"], 0, []))
            each.events.append((row["version"], envelope.record(self._service, row["stream"], item)))
        return list(found.values())

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(f"{each.id}:{version:06d}", {"$set": {"pending": 0}})
            for each, upto in acknowledged
            for version, _ in each.events
            if version <= upto
        )
