"""The consumer: polls a batch, handles its events in order, and commits offsets only after the effects.

    poll -> save progress -> for each event: handle, 3 attempts -> commit
                               |-> fails, or an earlier event of its key is parked: park as a dead letter

A handler that raises is called again, and after three attempts the event is parked with its key. If an earlier consumer
did not finish the batch (a crash or a rebalance), the attempt is saved before the handler is called: an event that
crashes the process is parked, too. A TransientError (the store is unavailable) parks nothing: the batch is polled again
later. During a long batch the consumer commits offsets and sends a heartbeat, at most once per second, to keep its
partitions.
"""

import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from chassis import bus, clock
from chassis.background import run_until
from chassis.bus import Partition, Record
from chassis.errors import TransientError
from chassis.events import dead_letters, envelope
from chassis.events.envelope import MalformedRecord, Meta
from chassis.messages import Event
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.observe.throttled import Throttled
from chassis.store import Collection, Doc, Duplicate, Update

MAX_BATCH = 50
MAX_ATTEMPTS = 3
_HEARTBEAT_S = 1.0
_REDRIVE_POLL_S = 1.0

progress = Collection("consumer_progress")
"""{_id: "topic:partition", first, last, current, attempts}: the first and last offset of the current batch.

If an earlier consumer did not finish the batch (a crash or a rebalance), the attempt is saved before the handler is
called: `current` is the offset of the event, `attempts` its number of attempts.
"""

Handler = Callable[[Any, Meta], None]


class Consumer:
    """A member of the service's consumer group, which calls `handler(event, meta)` for each event, by event type."""

    def __init__(self, member: bus.Consumer, handlers: Mapping[type[Event], Handler]) -> None:
        self._member = member
        self._handlers = {event.type: (event, handler) for event, handler in handlers.items()}
        self._declared_types = {
            item.type
            for event in handlers
            for item in vars(sys.modules[event.__module__]).values()
            if isinstance(item, type) and issubclass(item, Event) and item.type
        }
        self._export_parked = Throttled(lambda: metrics.dead_letters.set(dead_letters.collection.count()))
        self._owned: Mapping[Partition, int] = {}
        self._parked_keys: set[tuple[str, str]] = set()
        self._parked_keys_assignment: Mapping[Partition, int] = {}
        self._progress: dict[Partition, Doc] = {}
        self._lag: dict[str, int] = {}
        self._last_heartbeat = self._last_redrive = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then leave the group."""
        run_until(stop, self._step_without_pause, "consumer failed")
        self._member.close()

    def _step_without_pause(self) -> float:
        self.step()
        return 0.0

    def step(self, wait_s: float = 0.5) -> int:
        """Poll and handle one batch, and return its size. Waits up to `wait_s` for the first record."""
        records = self._member.poll(MAX_BATCH, wait_s)
        self._last_heartbeat, self._owned = clock.monotonic(), self._member.owned()
        batches: dict[Partition, list[Record]] = {}
        for record in records:
            batches.setdefault((record.topic, record.partition), []).append(record)
        try:
            self._reload_parked_keys()
            while batches:
                partition, batch = next(iter(batches.items()))
                try:
                    self._handle_batch(partition, batch)
                except bus.PartitionRevoked:
                    log.info("partition revoked; its new owner continues", topic=partition[0], partition=partition[1])
                    self._seek_back({partition: batch})
                del batches[partition]
        except Exception:
            self._seek_back(batches)
            self._export_lag()  # the lag grows while batches fail
            raise
        if clock.monotonic() - self._last_redrive >= _REDRIVE_POLL_S:
            self._last_redrive = clock.monotonic()
            self._redrive()
            self._export_lag()
            self._export_parked()
        return len(records)

    def _reload_parked_keys(self) -> None:
        """Load the parked keys again when partitions were assigned: another consumer may have parked some."""
        if self._owned != self._parked_keys_assignment:
            self._parked_keys = {
                (doc["topic"], doc["key"]) for doc in dead_letters.collection.iterate({"blocks": True})
            }
            self._progress.clear()
            self._parked_keys_assignment = self._owned

    def _handle_batch(self, partition: Partition, batch: list[Record]) -> None:
        last_crashed = self._save_progress(partition, batch)
        for record in batch:
            self._heartbeat({partition: record.offset})
            if not self._is_owned(partition):
                raise bus.PartitionRevoked(f"{partition[0]}/{partition[1]}")
            if record.offset <= last_crashed:
                self._handle_after_crash(partition, record)
                self._member.commit({partition: record.offset + 1})
            else:
                self._handle(record)
        self._member.commit({partition: batch[-1].offset + 1})

    def _heartbeat(self, done: Mapping[Partition, int]) -> None:
        """Commit the offsets that are done and send a heartbeat, at most once per second."""
        if clock.monotonic() - self._last_heartbeat >= _HEARTBEAT_S:
            self._member.commit(done)
            self._member.heartbeat()
            self._last_heartbeat = clock.monotonic()

    def _is_owned(self, partition: Partition) -> bool:
        """Whether the partition has stayed assigned since the last poll. If not, its owner polls the records again."""
        return self._member.owned().get(partition, 0) == self._owned.get(partition)

    def _seek_back(self, batches: Mapping[Partition, list[Record]]) -> None:
        """Seek to the first record of each batch, so that it is polled again."""
        for partition, batch in batches.items():
            if self._is_owned(partition):
                with suppress(bus.PartitionRevoked):  # a rebalance during a commit
                    self._member.seek(partition, batch[0].offset)

    def _save_progress(self, partition: Partition, batch: list[Record]) -> int:
        """Save the offsets of the batch; return the last offset that an earlier consumer did not finish, else -1."""
        id, first, last = f"{partition[0]}:{partition[1]}", batch[0].offset, batch[-1].offset
        saved = self._progress.get(partition)
        last_crashed = -1
        if saved is None:
            saved = progress.get(id)
            if saved is not None and saved["first"] <= first <= saved["last"]:
                last_crashed = saved["last"]
                last = max(last, last_crashed)
        fields = {"first": first, "last": last}
        if saved is None:
            saved = {"_id": id, **fields, "current": -1, "attempts": 0}
            try:
                progress.insert(saved)
            except Duplicate:
                progress.update(id, {"$set": fields})
        else:
            saved = progress.update(id, {"$set": fields}) or saved
        self._progress[partition] = saved
        return last_crashed

    def _handle_after_crash(self, partition: Partition, record: Record) -> None:
        """Count the attempt before the handler is called, since the process may not survive it."""
        saved = self._progress[partition]
        attempts = saved["attempts"] + 1 if saved["current"] == record.offset else 1
        changed = progress.update(saved["_id"], {"$set": {"current": record.offset, "attempts": attempts}})
        self._progress[partition] = changed or saved
        if attempts > MAX_ATTEMPTS:
            self._park(record, "handler crashed the process", attempts=attempts - 1)
        else:
            self._handle(record)

    def _handle(self, record: Record) -> None:
        """Handle one record, skip it or park it."""
        try:
            meta, data = envelope.from_record(record)
        except MalformedRecord as error:
            dead_letters.park(record, None, str(error), "", 1, blocks=False)
            self._count(record, "parked")
            return
        found = self._handlers.get(meta.type)
        if found is None:
            is_declared = meta.type in self._declared_types
            if not is_declared:
                dead_letters.park(record, meta, f"unknown event type {meta.type}", "", 1, blocks=False)
            self._count(record, "skipped" if is_declared else "parked")
            return
        event, handler = found
        if (record.topic, record.key) in self._parked_keys:
            if event.erases:
                self._delete_parked(record.topic, record.key)
            else:
                self._park(record, "an earlier event of this key is parked", attempts=0)
                return
        if reason := self._call_handler(meta, data, event, handler):
            self._park(record, reason, attempts=MAX_ATTEMPTS)
        else:
            self._count(record, "handled")
            delay_s = max(0.0, clock.seconds_since(meta.time))
            metrics.consumer_delay[record.topic].observe(delay_s, trace.exemplar(meta.traceparent))

    def _call_handler(self, meta: Meta, data: Any, event: type[Event], handler: Handler) -> str:
        """Call the handler, up to three times; return "" or why it failed. Raises TransientError."""
        reason, topic = "", f"{meta.source}.events"
        attributes = {**envelope.span_attributes("process", topic), "cloudevents.event_type": meta.type}
        with trace.continue_trace(meta.traceparent, f"process {topic}", "consumer", attributes) as span:
            trace.bind(**{to_camel(event.key): meta.subject})
            for attempt in range(MAX_ATTEMPTS):
                if attempt:
                    metrics.consumer_events[topic, "retried"].inc()
                    clock.sleep(0.2 * 2**attempt * (0.5 + clock.random() / 2))
                try:
                    handler(event.read(data), meta)
                    return ""
                except TransientError:
                    raise
                except ValidationError as error:
                    span.set_error(type(error).__name__)
                    fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
                    return f"validation failed while handling {meta.type}: {fields}"
                except Exception as error:
                    reason = f"{type(error).__name__}: {error}"
                    log.error("event handler failed", eventId=meta.id, attempt=attempt + 1, error=error)
                    if attempt + 1 == MAX_ATTEMPTS:
                        span.set_error(type(error).__name__)
        return reason

    def _park(self, record: Record, reason: str, attempts: int) -> None:
        try:
            meta, _ = envelope.from_record(record)
        except MalformedRecord:
            dead_letters.park(record, None, reason, "", attempts, blocks=False)
        else:
            found = self._handlers.get(meta.type)
            name = found[1].__qualname__ if found else ""
            dead_letters.park(record, meta, reason, name, attempts, blocks=True)
            self._parked_keys.add((record.topic, record.key))
        self._count(record, "parked")

    def _delete_parked(self, topic: str, key: str) -> None:
        for dead_letter in dead_letters.of_key(topic, key):
            dead_letters.collection.delete(dead_letter["_id"])
        self._parked_keys.discard((topic, key))

    def _redrive(self) -> None:
        """Handle the dead letters that operators asked for. Only the owner of the partition does, to keep the order."""
        requested = dead_letters.collection.find({"redrive": True}, limit=MAX_BATCH)
        for topic, key in dict.fromkeys((doc["topic"], doc["key"]) for doc in requested):
            for dead_letter in dead_letters.of_key(topic, key):
                self._heartbeat({})
                if not self._is_owned((dead_letter["topic"], dead_letter["partition"])):
                    break
                if not self._redrive_one(dead_letter):
                    break
                dead_letters.collection.delete(dead_letter["_id"])
                log.info("dead letter handled", deadLetterId=dead_letter["_id"])
            else:
                self._parked_keys.discard((topic, key))

    def _redrive_one(self, dead_letter: Doc) -> bool:
        """Call the handler of a dead letter; return whether it succeeded, else keep the reason."""
        record = dead_letters.to_record(dead_letter)
        try:
            meta, data = envelope.from_record(record)
            found = self._handlers.get(meta.type)
            reason = self._call_handler(meta, data, *found) if found else f"no handler for {meta.type}"
        except MalformedRecord as error:
            reason = str(error)
        if reason:
            update: Update = {"$set": {"redrive": False, "reason": reason}, "$inc": {"attempts": 1}}
            dead_letters.collection.update(dead_letter["_id"], update)
        return not reason

    def _export_lag(self) -> None:
        lag = dict.fromkeys(self._lag, 0)
        for (topic, _), records in self._member.lag().items():
            lag[topic] = lag.get(topic, 0) + records
        for topic, records in lag.items():
            metrics.consumer_lag[topic].set(records)
        self._lag = lag

    @staticmethod
    def _count(record: Record, outcome: str) -> None:
        metrics.consumer_events[record.topic, outcome].inc()
