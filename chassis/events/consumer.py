"""The consumer: polls, handles in order, and commits only after the effect. Poison is parked with its key.

    poll -> note the batch -> for each: parked key? join it : handle, 3 tries -> park -> commit

A handler that raises is tried again and then parked. One that kills the process is known by the note of the batch:
after a crash its events go one by one, each counted before it is handled. TransientError (the own store is down) parks
nothing: the batch is polled again later. A batch that takes long commits what is done and keeps its place in the group.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from chassis import bus, clock
from chassis.bus import Partition, Record
from chassis.errors import TransientError
from chassis.events import dead_letters, envelope
from chassis.events.envelope import MalformedRecord, Meta
from chassis.messages import Event
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.observe.throttled import Throttled
from chassis.store import Collection, Doc, Duplicate, Update

BATCH = 50
TRIES = 3
_STAY_EVERY = 1.0
_REDRIVE_EVERY = 1.0

progress = Collection("consumer_progress")
"""{_id: "topic:partition", offset, until, at, tries}: the batch that is being handled."""

Handler = Callable[[Any, Meta], None]


class Consumer:
    """Runs the handlers of one service: event type -> handler(event, meta)."""

    def __init__(self, member: bus.Consumer, handlers: Mapping[type[Event], Handler]) -> None:
        self._member = member
        self._handlers = {event.type: (event, handler) for event, handler in handlers.items()}
        self._known = {
            item.type
            for event in handlers
            for item in vars(sys.modules[event.__module__]).values()
            if isinstance(item, type) and issubclass(item, Event) and item.type
        }
        self._tell_parked = Throttled(lambda: metrics.dead_letters.set(dead_letters.collection.count()))
        self._owned: Mapping[Partition, int] = {}
        self._learnt: Mapping[Partition, int] = {}
        self._parked: set[tuple[str, str]] = set()
        self._notes: dict[Partition, Doc] = {}
        self._behind: dict[str, int] = {}
        self._polled = self._looked = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Consume until told to stop, then leave the group."""
        pause = 0.0
        while not stop.is_set():
            try:
                self.step()
                pause = 0.0
            except TransientError as error:
                pause = min(max(pause * 2, 0.2), 5.0)
                log.warning("the consumer waits", error=error)
                stop.wait(pause)
        self._member.close()

    def step(self, wait: float = 0.5) -> int:
        """Handle one batch; how many records it had."""
        records = self._member.poll(BATCH, wait)
        self._polled, self._owned = clock.monotonic(), self._member.owned()
        batches: dict[Partition, list[Record]] = {}
        for record in records:
            batches.setdefault((record.topic, record.partition), []).append(record)
        try:
            self._learn()
            while batches:
                partition, batch = next(iter(batches.items()))
                try:
                    self._batch(partition, batch)
                except bus.PartitionRevoked:
                    log.info("a partition went to another consumer", topic=partition[0], partition=partition[1])
                    self._rewind({partition: batch})
                del batches[partition]
        except Exception:
            self._rewind(batches)
            self._tell_lag()  # it grows
            raise
        if clock.monotonic() - self._looked >= _REDRIVE_EVERY:
            self._looked = clock.monotonic()
            self._redrive()
            self._tell_lag()
            self._tell_parked()
        return len(records)

    def _learn(self) -> None:
        """What others have parked of the partitions that are owned anew."""
        if self._owned != self._learnt:
            self._parked = {(doc["topic"], doc["key"]) for doc in dead_letters.collection.iterate({"blocks": True})}
            self._notes.clear()
            self._learnt = self._owned

    def _batch(self, partition: Partition, batch: list[Record]) -> None:
        crashed = self._note(partition, batch)
        for record in batch:
            self._stay({partition: record.offset})
            if not self._is_mine(partition):
                raise bus.PartitionRevoked(f"{partition[0]}/{partition[1]}")
            if record.offset <= crashed:
                self._careful(partition, record)
                self._member.commit({partition: record.offset + 1})
            else:
                self._one(record)
        self._member.commit({partition: batch[-1].offset + 1})

    def _stay(self, done: Mapping[Partition, int]) -> None:
        """Between two records: now and then, commit what is done and let the group know that this member lives."""
        if clock.monotonic() - self._polled >= _STAY_EVERY:
            self._member.commit(done)
            self._member.heartbeat()
            self._polled = clock.monotonic()

    def _is_mine(self, partition: Partition) -> bool:
        """Whether it was never away since the last poll: what is given anew is polled anew."""
        return self._member.owned().get(partition, 0) == self._owned.get(partition)

    def _rewind(self, batches: Mapping[Partition, list[Record]]) -> None:
        """Poll again, later, what was not handled."""
        for partition, batch in batches.items():
            if self._is_mine(partition):
                with suppress(bus.PartitionRevoked):  # while a commit waited for a rebalance
                    self._member.seek(partition, batch[0].offset)

    def _note(self, partition: Partition, batch: list[Record]) -> int:
        """Write down what is about to be handled; the last offset that a crash may have left half done, else -1."""
        id, first, until = f"{partition[0]}:{partition[1]}", batch[0].offset, batch[-1].offset
        note = self._notes.get(partition)
        crashed = -1
        if note is None:
            note = progress.get(id)
            if note is not None and note["offset"] <= first <= note["until"]:
                crashed = note["until"]
                until = max(until, crashed)
        fields = {"offset": first, "until": until}
        if note is None:
            note = {"_id": id, **fields, "at": -1, "tries": 0}
            try:
                progress.insert(note)
            except Duplicate:
                progress.update(id, {"$set": fields})
        else:
            note = progress.update(id, {"$set": fields}) or note
        self._notes[partition] = note
        return crashed

    def _careful(self, partition: Partition, record: Record) -> None:
        note = self._notes[partition]
        tries = note["tries"] + 1 if note["at"] == record.offset else 1
        changed = progress.update(note["_id"], {"$set": {"at": record.offset, "tries": tries}})
        self._notes[partition] = changed or note
        if tries > TRIES:
            self._park(record, "its handler ended the process", attempts=tries - 1)
        else:
            self._one(record)

    def _one(self, record: Record) -> None:
        try:
            meta, data = envelope.read(record)
        except MalformedRecord as error:
            dead_letters.park(record, None, str(error), "", 1, blocks=False)
            self._count(record, "parked")
            return
        found = self._handlers.get(meta.type)
        if found is None:
            if meta.type not in self._known:
                dead_letters.park(record, meta, f"no one declares {meta.type}", "", 1, blocks=False)
            self._count(record, "skipped" if meta.type in self._known else "parked")
            return
        event, handler = found
        if (record.topic, record.key) in self._parked:
            if event.erases:
                self._forget(record.topic, record.key)
            else:
                self._park(record, "an earlier event of its key is parked", attempts=0)
                return
        if reason := self._handled(meta, data, event, handler):
            self._park(record, reason, attempts=TRIES)
        else:
            self._count(record, "handled")
            late = max(0.0, clock.seconds_since(meta.time))
            metrics.consumer_delay[record.topic].observe(late, trace.exemplar(meta.traceparent))

    def _handled(self, meta: Meta, data: Any, event: type[Event], handler: Handler) -> str:
        """Handle, with retries; "" or why it failed for good. Raises TransientError where trying later may help."""
        reason, topic = "", f"{meta.source}.events"
        about = {**envelope.described("process", topic), "cloudevents.event_type": meta.type}
        with trace.continued(meta.traceparent, f"process {topic}", "consumer", about) as span:
            trace.about(**{to_camel(event.key): meta.subject})
            for attempt in range(TRIES):
                if attempt:
                    metrics.consumer_events[topic, "retried"].inc()
                    clock.sleep(0.2 * 2**attempt * (0.5 + clock.random() / 2))
                try:
                    handler(event.read(data), meta)
                    return ""
                except TransientError:
                    raise
                except ValidationError as error:
                    span.failed(type(error).__name__)
                    places = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
                    return f"data of another shape: {places}"
                except Exception as error:
                    reason = f"{type(error).__name__}: {error}"
                    log.error("an event was not handled", eventId=meta.id, attempt=attempt + 1, error=error)
                    if attempt + 1 == TRIES:
                        span.failed(type(error).__name__)
        return reason

    def _park(self, record: Record, reason: str, attempts: int) -> None:
        try:
            meta, _ = envelope.read(record)
        except MalformedRecord:
            dead_letters.park(record, None, reason, "", attempts, blocks=False)
        else:
            found = self._handlers.get(meta.type)
            name = found[1].__qualname__ if found else ""
            dead_letters.park(record, meta, reason, name, attempts, blocks=True)
            self._parked.add((record.topic, record.key))
        self._count(record, "parked")

    def _forget(self, topic: str, key: str) -> None:
        for letter in dead_letters.of_key(topic, key):
            dead_letters.collection.delete(letter["_id"])
        self._parked.discard((topic, key))

    def _redrive(self) -> None:
        """Handle again what operators asked for, between batches: only the partition's owner may, or order is lost."""
        asked = dead_letters.collection.find({"redrive": True}, limit=BATCH)
        for topic, key in dict.fromkeys((doc["topic"], doc["key"]) for doc in asked):
            for letter in dead_letters.of_key(topic, key):
                self._stay({})
                if not self._is_mine((letter["topic"], letter["partition"])):
                    break
                if not self._again(letter):
                    break
                dead_letters.collection.delete(letter["_id"])
                log.info("a dead letter was handled", deadLetterId=letter["_id"])
            else:
                self._parked.discard((topic, key))

    def _again(self, letter: Doc) -> bool:
        record = dead_letters.record_of(letter)
        try:
            meta, data = envelope.read(record)
            found = self._handlers.get(meta.type)
            reason = self._handled(meta, data, *found) if found else f"no one handles {meta.type}"
        except MalformedRecord as error:
            reason = str(error)
        if reason:
            change: Update = {"$set": {"redrive": False, "reason": reason}, "$inc": {"attempts": 1}}
            dead_letters.collection.update(letter["_id"], change)
        return not reason

    def _tell_lag(self) -> None:
        behind = dict.fromkeys(self._behind, 0)
        for (topic, _), waiting in self._member.lag().items():
            behind[topic] = behind.get(topic, 0) + waiting
        for topic, waiting in behind.items():
            metrics.consumer_lag[topic].set(waiting)
        self._behind = behind

    @staticmethod
    def _count(record: Record, outcome: str) -> None:
        metrics.consumer_events[record.topic, outcome].inc()
