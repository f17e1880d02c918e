"""Event sourcing: the state of an aggregate is the fold of its stream of commits.

    {_id: "<stream>:000002", stream, version: 2, sequence: 1, type, data, time, dedupKey, pending: 1, slot}

A commit is one document, which is also its outbox entry. The `_id` is the optimistic lock: of two commits with the same
version one is rejected. Only public events are published; `sequence` numbers them, and is 0 for an internal event.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Protocol, Self, TypeVar

from chassis import clock
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.events.outbox import PENDING_INDEX, SET_ASIDE, PendingEvents, find_pending, set_aside, slot_of
from chassis.messages import Event
from chassis.observe import trace
from chassis.store import Collection, Doc, Duplicate, Index, UpdateOne

MAX_COMMITS = 1000
"""Maximum number of commits in a stream; `append` rejects more."""
_MAX_ATTEMPTS = 10


@dataclass(frozen=True)
class Commit:
    """One event of a stream, with its position and time; `trace_id` is that of the work that stored it, or ""."""

    version: int
    sequence: int
    time: str
    event: Event
    dedup_key: str = ""
    trace_id: str = ""


class Aggregate(Protocol):
    """The state that a stream folds to: an immutable value with one `apply` for all events."""

    def apply(self, event: Event, time: str) -> Self: ...


A = TypeVar("A", bound=Aggregate)


class Streams(Collection):
    """The streams of one kind of aggregate. `events` are all event types that a stream may contain."""

    def __init__(self, name: str, *events: type[Event]) -> None:
        super().__init__(name, PENDING_INDEX, Index("stream", "version"))
        self._types = {event.type: event for event in events}

    def load(self, stream: str) -> list[Commit]:
        """Return the commits of a stream in order; an empty list if the stream does not exist."""
        rows = self.find({"stream": stream}, sort="version", limit=MAX_COMMITS)
        return [
            Commit(
                version=row["version"],
                sequence=row["sequence"],
                time=row["time"],
                event=self._types[row["type"]].read(row["data"]),
                dedup_key=row["dedupKey"],
                trace_id=row["traceparent"][3:35],
            )
            for row in rows
        ]

    def append(self, stream: str, event: Event, history: list[Commit], dedup_key: str = "") -> Commit:
        """Commit one event after `history`.

        Raises:
            Duplicate: the stream has another commit after `history`.
            TransientError: the stream is full.
        """
        version = len(history) + 1
        if version > MAX_COMMITS:
            raise TransientError(f"stream {stream} is full: it has {MAX_COMMITS} commits")
        public_count = sum(commit.sequence > 0 for commit in history)
        sequence = public_count + 1 if event.public else 0
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
                "slot": slot_of(stream),
            }
        )
        return commit

    def stream_ids(self) -> Iterator[str]:
        """Iterate over the ids of all streams, sorted."""
        return (stream for stream, _ in groupby(row["stream"] for row in self.iterate()))

    def execute(
        self,
        stream: str,
        empty: A,
        decide: Callable[[A], Event | None],
        dedup_key: str = "",
        on_commit: Callable[[A, Event], None] = lambda state, event: None,
    ) -> A:
        """Load the stream, decide and commit; retry if another commit came first. Return the resulting state.

        Arguments:
            empty: the state before the first event.
            decide: returns the event to commit, or None if there is nothing to do; may raise a DomainError.
            dedup_key: identifies the decision. If the stream has a commit with this key, nothing is decided again.
            on_commit: called with the new state and the event after a commit.

        Raises:
            TransientError: other commits came first ten times.
        """
        for _ in range(_MAX_ATTEMPTS):
            history = self.load(stream)
            state = fold(empty, history)
            is_decided = bool(dedup_key) and any(commit.dedup_key == dedup_key for commit in history)
            event = None if is_decided else decide(state)
            if event is None:
                return state
            try:
                commit = self.append(stream, event, history, dedup_key)
            except Duplicate:
                continue
            state = state.apply(commit.event, commit.time)
            on_commit(state, commit.event)
            return state
        raise TransientError(f"commits to stream {stream} kept conflicting; gave up")


def fold(empty: A, history: list[Commit]) -> A:
    """Return the state after these commits."""
    state = empty
    for commit in history:
        state = state.apply(commit.event, commit.time)
    return state


class StreamOutbox:
    """The outbox of streams: the public commits that are not acknowledged yet."""

    idle_poll_s = 0.0

    def __init__(self, service: str, streams: Streams) -> None:
        self._service, self.collection = service, streams

    def pending(self, slots: Sequence[int], limit: int) -> list[PendingEvents]:
        set_aside_before = self._first_set_aside()
        rows: dict[str, list[Doc]] = defaultdict(list)
        for row in find_pending(self.collection, slots, limit):
            rows[row["stream"]].append(row)
        first_set_aside = self._first_set_aside() if rows else {}
        for stream in (set_aside_before.keys() ^ first_set_aside.keys()) & rows.keys():
            del rows[stream]  # being set aside or returned: some of its earlier commits may not have been found
        for stream in first_set_aside.keys() & rows.keys():
            earlier = [row for row in rows[stream] if row["version"] < first_set_aside[stream]]
            for row in rows[stream][len(earlier) :]:
                set_aside(self.collection, row["_id"])  # to keep the order
            rows[stream] = earlier
        return [
            PendingEvents.build(stream, partial(self._pending, stream, some)) for stream, some in rows.items() if some
        ]

    def set_aside(self, id: str) -> None:
        for row in self.collection.find({"stream": id}, sort="version", limit=MAX_COMMITS):
            if row["pending"]:
                set_aside(self.collection, row["_id"])

    def _first_set_aside(self) -> dict[str, int]:
        """Return the version of the first commit that is set aside, by stream."""
        first: dict[str, int] = {}
        for row in self.collection.iterate(SET_ASIDE):  # in the order of stream and version
            first.setdefault(row["stream"], row["version"])
        return first

    def _pending(self, stream: str, rows: list[Doc]) -> PendingEvents:
        records = [
            (row["version"], envelope.to_record(self._service, stream, {**row, "seq": row["sequence"]})) for row in rows
        ]
        return PendingEvents(stream, 0, records, rows[0]["time"])

    def clear(self, acknowledged: Iterable[tuple[PendingEvents, int]]) -> None:
        self.collection.bulk_update(
            UpdateOne(f"{each.id}:{version:06d}", {"$set": {"pending": 0}})
            for each, last_position in acknowledged
            for version, _ in each.events
            if version <= last_position
        )
