"""The consumer: polls a batch, handles its events in order, and commits offsets only after the effects.

    poll -> save progress -> for each event: handle, 3 attempts -> commit
                               |-> fails, or an earlier event of its key is parked: park as a dead letter

A handler that raises is called again, and after three attempts the event is parked with its key. Any other error that
a record causes parks it, too, but not an error of metrics, traces or logs. If an earlier consumer died during the
batch, the attempt is saved before the handler is called: an event during which three processes died is parked. A
TransientError (the store, the bus or another service is unavailable) parks nothing: the batch is polled again later.
During a long batch the consumer commits offsets and sends a heartbeat, at most once per second, to keep its partitions.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress

from chassis import bus, clock
from chassis.background import run_until
from chassis.bus import Partition, Record
from chassis.errors import TransientError
from chassis.events import dead_letters, envelope
from chassis.events.batch_progress import BatchProgress
from chassis.events.envelope import MalformedRecord, Meta
from chassis.events.handlers import FAILURES, MAX_ATTEMPTS, Handler, HandlerFailed, Handlers, Handling, describe
from chassis.events.redrive import Redrive
from chassis.messages import Event
from chassis.observe import metrics, trace
from chassis.observe.guarded import guarded
from chassis.observe.log import log
from chassis.observe.throttled import Throttled

MAX_BATCH = 50
_HEARTBEAT_S = 1.0
_REDRIVE_POLL_S = 1.0


class Consumer:
    """A member of the service's consumer group, which calls `handler(event, meta)` for each event, by event type."""

    def __init__(self, member: bus.Consumer, handlers: Mapping[type[Event], Handler]) -> None:
        self._member = member
        self._handlers = Handlers(handlers, member.group)
        self._redrive = Redrive(self._handlers, self._is_owned, lambda: self._heartbeat({}))
        self._progress = BatchProgress()
        self._export_parked = Throttled(lambda: metrics.dead_letters.set(dead_letters.collection.count()))
        self._refresh_parked_keys = Throttled(self._load_parked_keys)
        self._owned: Mapping[Partition, int] = {}
        self._parked_keys: set[tuple[str, str]] = set()
        self._parked_keys_assignment: Mapping[Partition, int] = {}
        self._lag: dict[str, int] = {}
        self._last_heartbeat = self._last_redrive = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, then leave the group."""
        ended = threading.Event()
        threading.Thread(target=self._progress.keep_alive, args=(ended,), name="consumer alive", daemon=True).start()
        try:
            run_until(stop, self._step_without_pause, "consumer failed")
            with suppress(TransientError):  # then other consumers count this one as dead
                self._progress.close()
            self._member.close()
        finally:
            ended.set()

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
            self._note_assignment()
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
            if self._redrive.run():
                self._load_parked_keys()
            elif self._parked_keys:
                self._refresh_parked_keys()  # an operator may have discarded some
            self._export_lag()
            self._export_parked()
        return len(records)

    def _note_assignment(self) -> None:
        """Load the parked keys again when partitions were assigned: another consumer may have parked some."""
        if self._owned != self._parked_keys_assignment:
            self._redrive.request_once_unknown()
            self._load_parked_keys()
            self._progress.forget()
            self._parked_keys_assignment = self._owned

    def _load_parked_keys(self) -> None:
        self._parked_keys = dead_letters.parked_keys()

    def _handle_batch(self, partition: Partition, batch: list[Record]) -> None:
        handled = self._progress.begin_batch(partition, batch)
        try:
            for record in batch:
                self._heartbeat({partition: record.offset})
                if not self._is_owned(partition):
                    raise bus.PartitionRevoked(f"{partition[0]}/{partition[1]}")
                if record.offset > handled:
                    self._handle(record)
                    handled = record.offset
                if self._progress.is_unfinished(record):  # another process starts at the record that kills this
                    self._member.commit({partition: record.offset + 1})
            self._member.commit({partition: batch[-1].offset + 1})
        except bus.PartitionRevoked:
            self._progress.leave_batch(partition, handled)
            raise
        self._progress.end_batch(partition)

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

    def _handle(self, record: Record) -> None:
        """Handle one record, skip it or park it. Raises TransientError."""
        try:
            self._count(record, self._outcome(record))
        except TransientError:
            raise
        except FAILURES as error:
            log.error("record could not be handled", error=error, key=dead_letters.shown_key(record))
            self._count(record, self._park(record, describe(error), attempts=1))

    def _outcome(self, record: Record) -> str:
        """Handle one record, and return its outcome as in the metric."""
        deaths = self._progress.begin_record(record)
        if deaths >= MAX_ATTEMPTS:
            outcome = self._park(record, f"{deaths} processes died while they handled it", deaths)
            self._progress.attribute_deaths((record.topic, record.partition))
            return outcome
        try:
            meta, data = envelope.from_record(record)
        except MalformedRecord as error:
            return self._park(record, str(error), deaths + 1)
        handling = self._handlers.find(meta.type)
        if handling is None:
            if self._handlers.is_declared(meta.type):
                return "skipped"
            return self._park(record, f"unknown event type {meta.type}", deaths + 1)
        if handling.event.erases:
            dead_letters.delete_of_key(record.topic, record.key)
            self._parked_keys.discard(_key(record))
        if _key(record) in self._parked_keys and not handling.event.unordered:
            return self._park(record, "an earlier event of this key is parked", attempts=0)
        try:
            handling.call(meta, data, record)
        except HandlerFailed as error:
            return self._park(record, str(error), deaths + error.attempts)
        with guarded():
            delay_s = max(0.0, clock.seconds_since(meta.time))
            metrics.consumer_delay[record.topic].observe(delay_s, trace.exemplar(meta.traceparent))
        return "handled"

    def _park(self, record: Record, reason: str, attempts: int) -> str:
        """Store a record as a dead letter, which blocks its key if a handler exists. Return the outcome."""
        meta: Meta | None = None
        handling: Handling | None = None
        try:
            meta, _ = envelope.from_record(record)
            handling = self._handlers.find(meta.type)
        except TransientError:
            raise
        except Exception:  # noqa: S110  such as MalformedRecord: then the record blocks no key
            pass
        name = handling.name if handling else ""
        dead_letters.park(record, meta, reason, name, attempts, blocks=handling is not None)
        if handling:
            self._parked_keys.add(_key(record))
        return "parked"

    @staticmethod
    def _count(record: Record, outcome: str) -> None:
        with guarded():
            metrics.consumer_events[record.topic, outcome].inc()

    def _export_lag(self) -> None:
        with guarded():
            lag = dict.fromkeys(self._lag, 0)
            for (topic, _), records in self._member.lag().items():
                lag[topic] = lag.get(topic, 0) + records
            for topic, records in lag.items():
                metrics.consumer_lag[topic].set(records)
            self._lag = lag


def _key(record: Record) -> tuple[str, str]:
    return record.topic, dead_letters.stored_text(record.key)
