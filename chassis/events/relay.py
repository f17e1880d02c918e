"""The relay: publishes the pending events of the outboxes, and clears what the message bus has acknowledged.

    lease slots -> read pending events -> publish -> clear

Aggregates are published in parallel, the events of one aggregate one after the other, in order. With many pending
events several workers publish, each for a share of the leased slots.

A relay that crashes before it clears, or resumes after its lease expired, may publish events twice. Consumers recognize
those by their inbox.

If the relay fails three times to read, publish or clear the next event of an aggregate, although store and bus are
available, it sets that aggregate aside with all its events, and continues with the others.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

from chassis import clock
from chassis.background import run_until
from chassis.bus import Bus, BusUnavailable, Record
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.events.backlog import backlog
from chassis.events.outbox import SLOTS, Outbox, PendingEvents
from chassis.events.set_aside import SetAside
from chassis.observe import metrics, trace
from chassis.observe.guarded import guarded
from chassis.observe.log import log
from chassis.store import Collection
from chassis.store.leases import Slots

PARALLEL_THRESHOLD = 50
"""Minimum number of pending events at which all workers publish."""
WORKERS = 4
MAX_DOCUMENTS = 500
"""Maximum number of outbox documents in one batch."""
MAX_PER_AGGREGATE = 20
"""Maximum number of events of one aggregate in one batch, so that an aggregate with many does not delay the others."""
TURN_S = 2.0
"""Seconds that the workers spend on one outbox before the next outbox has its turn."""
ACTIVE_S = 2.0
"""Seconds after the last event for which the relay polls at its full rate."""
IDLE_FACTOR = 4
DELIVERY_SHARE = 0.6
"""Share of the lease that a delivery may take. The lease was renewed at most a third of its duration ago."""


class Relay:
    """The relay of these outboxes.

    Polls every `poll_s` seconds; after `ACTIVE_S` without events, `IDLE_FACTOR` times more slowly.
    """

    def __init__(self, outboxes: list[Outbox], bus: Bus, leases: Collection, lease_s: float, poll_s: float) -> None:
        self._outboxes, self._bus, self._lease_s, self._poll_s = outboxes, bus, lease_s, poll_s
        self._slots = Slots(leases, "relay", SLOTS, lease_s)
        self._slots_lock = threading.Lock()
        self._read_lock = threading.Lock()  # workers read one at a time, so that the first publishes while others read
        self._set_aside = {each.collection.name: SetAside(each.collection.name) for each in outboxes}
        self._export_backlog = backlog(outboxes, self._held_slots)
        self._next_poll: dict[str, float] = {}  # by collection
        self._last_event = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Publish until `stop` is set, then release the slots."""
        self._last_event = clock.monotonic()
        run_until(stop, self._step_and_pause, "relay failed")
        try:
            self._slots.release()
        except TransientError as error:
            log.warning("slots not released; other relays wait for the lease to expire", error=error)

    def step(self) -> int:
        """Publish what is pending now; return how many events were acknowledged."""
        now = clock.monotonic()
        count, failure = 0, None
        for outbox in self._outboxes:
            if now >= self._next_poll.get(outbox.collection.name, now):
                try:
                    count += self._publish_outbox(outbox)
                except TransientError:
                    raise
                except Exception as error:  # the other outboxes go on
                    failure = failure or error
        if failure:
            raise failure
        return count

    def _step_and_pause(self) -> float:
        """Take one step; return the seconds until the next."""
        try:
            if self.step():
                self._last_event = clock.monotonic()
                return 0.0
        finally:
            self._export_backlog()
            for each in self._set_aside.values():
                each.export()
        is_active = clock.monotonic() < self._last_event + ACTIVE_S
        return self._poll_s if is_active else self._poll_s * IDLE_FACTOR

    def _publish_outbox(self, outbox: Outbox) -> int:
        slots = sorted(self._held_slots())
        pending = outbox.pending(slots, PARALLEL_THRESHOLD) if slots else []
        if slots and not pending:
            self._next_poll[outbox.collection.name] = clock.monotonic() + outbox.idle_poll_s
        if sum(len(each.events) for each in pending) < PARALLEL_THRESHOLD:
            return self._publish_and_clear(outbox, slots, pending)
        ends_at = clock.monotonic() + TURN_S
        shares = [slots[worker::WORKERS] for worker in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS, "relay") as workers:
            return sum(workers.map(lambda share: self._publish_share(outbox, share, ends_at), shares))

    def _publish_share(self, outbox: Outbox, slots: list[int], ends_at: float) -> int:
        """Publish batch after batch of these slots, until none is pending or the turn ends."""
        total, has_more = 0, bool(slots)
        while has_more and clock.monotonic() < ends_at:
            with self._read_lock:
                pending = outbox.pending(slots, MAX_DOCUMENTS)
            count = self._publish_and_clear(outbox, slots, pending)
            is_full = len(pending) == MAX_DOCUMENTS
            has_leftover = is_full or any(len(each.events) > MAX_PER_AGGREGATE for each in pending)
            has_more = count > 0 and has_leftover
            total += count
        return total

    def _publish_and_clear(self, outbox: Outbox, slots: list[int], pending: list[PendingEvents]) -> int:
        """Publish pending events and clear them, if the slots are still held; return how many were acknowledged."""
        if not pending or not self._held_slots() >= set(slots):
            return 0
        failures = [(each, each.failure) for each in pending if each.failure is not None]
        readable = [each for each in pending if each.failure is None]
        outcomes = self._publish_isolated([_batch_of(each) for each in readable])
        acknowledged: list[tuple[PendingEvents, int]] = []
        count, transient = 0, None
        for each, outcome in zip(readable, outcomes, strict=True):
            if done := len(list(takewhile(lambda one: one is None, outcome))):
                acknowledged.append((each, each.events[done - 1][0]))
                count += done
            if failure := next(filter(None, outcome), None):
                if isinstance(failure, TransientError | OSError) or not isinstance(failure, Exception):
                    transient = transient or failure  # of the bus or the network, not of the event
                else:
                    failures.append((each, failure))
        not_cleared = self._clear(outbox, acknowledged)
        failures += not_cleared
        for id in {each.id for each, _ in acknowledged} - {each.id for each, _ in not_cleared}:
            self._set_aside[outbox.collection.name].succeeded(id)
        with guarded():
            metrics.relay_published[outbox.collection.name].inc(count)
            metrics.relay_failed[outbox.collection.name].inc(sum(map(len, outcomes)) - count)
        self._note_failures(outbox, failures)
        if transient is not None:
            if not count:
                raise TransientError(f"no event was acknowledged: {transient}") from transient
            log.warning("events not acknowledged; they stay in the outbox", error=transient)
        return count

    def _clear(
        self, outbox: Outbox, acknowledged: list[tuple[PendingEvents, int]]
    ) -> list[tuple[PendingEvents, Exception]]:
        """Clear the acknowledged events of all aggregates, or one by one if that fails. Return the failures."""
        try:
            outbox.clear(acknowledged)
        except TransientError:
            raise
        except Exception as error:
            if len(acknowledged) == 1:
                return [(acknowledged[0][0], error)]
            return [failure for each in acknowledged for failure in self._clear(outbox, [each])]
        return []

    def _note_failures(self, outbox: Outbox, failures: list[tuple[PendingEvents, Exception]]) -> None:
        """Set aside each aggregate that has failed three times."""
        aside = self._set_aside[outbox.collection.name]
        for each, failure in failures:
            if aside.failed(each.id, failure):
                outbox.set_aside(each.id)

    def _held_slots(self) -> set[int]:
        """Return the slots whose lease this relay holds, for at least two thirds of a lease from now on."""
        with self._slots_lock:
            return set(self._slots.held())

    def _publish_isolated(self, batches: list[list[Record]]) -> list[list[BaseException | None]]:
        """Publish the batches of all aggregates, or one by one if that fails. Return their outcomes."""
        try:
            outcomes = iter(self._publish([record for batch in batches for record in batch]))
            return [[next(outcomes) for _ in batch] for batch in batches]
        except TransientError:
            raise
        except Exception as error:
            if len(batches) == 1:
                return [[error] * len(batches[0])]
            return [outcome for batch in batches for outcome in self._publish_isolated([batch])]

    def _publish(self, records: list[Record]) -> list[BaseException | None]:
        """Publish records, each with a span that continues the trace in which its event was stored."""
        to_publish, spans = list(records), {}
        with guarded():
            topics = {record.topic for record in records}
            attributes = {topic: envelope.span_attributes("send", topic) for topic in topics}
            for index, record in enumerate(records):
                parent = record.headers.get("traceparent")
                if trace.is_recording() or not parent:
                    span = trace.continue_trace(parent, f"send {record.topic}", "producer", attributes[record.topic])
                    spans[index] = span
                    to_publish[index] = record._replace(headers={**record.headers, "traceparent": span.traceparent})
        started_at = clock.monotonic()
        outcomes = self._bus.publish(to_publish, timeout_s=self._lease_s * DELIVERY_SHARE)
        with guarded():
            if None in outcomes:
                metrics.bus_outage.succeeded()
            elif any(isinstance(each, BusUnavailable) for each in outcomes):
                metrics.bus_outage.failed(started_at)
            for index, span in spans.items():
                span.end(outcomes[index])
        return outcomes


def _batch_of(each: PendingEvents) -> list[Record]:
    return [record for _, record in each.events[:MAX_PER_AGGREGATE]]
