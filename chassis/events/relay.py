"""The relay: takes what waits in the outboxes to the log, each aggregate in order, and clears what is acknowledged.

    lease slots -> read what waits -> publish the first event of each -> the second of each ... -> clear

One event of an aggregate is under way at a time, many aggregates are. What is published twice, because a relay died
before it cleared or woke up late, is the consumers' inbox to tell.
"""

import threading
from dataclasses import replace

from chassis import clock
from chassis.bus import Bus, Record
from chassis.errors import Trouble
from chassis.events import envelope
from chassis.events.outbox import SLOTS, Outbox
from chassis.leases import Slots
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.store import Collection

BATCH = 500


class Relay:
    """`lease` in seconds; a delivery takes 0.8 of it at most, so that it ends while the lease is held."""

    def __init__(self, outboxes: list[Outbox], bus: Bus, leases: Collection, lease: float, pause: float) -> None:
        self._outboxes, self._bus, self._pause, self._lease = outboxes, bus, pause, lease
        self._slots = Slots(leases, "relay", SLOTS, lease)

    def run(self, stop: threading.Event) -> None:
        """Relay until told to stop."""
        pause = self._pause
        while not stop.is_set():
            try:
                pause = 0.0 if self.step() else self._pause
            except Trouble as error:
                pause = min(max(pause * 2, 0.2), 5.0)
                log.warning("the relay waits", error=error)
            if pause:
                stop.wait(pause)
        try:
            self._slots.release()
        except Trouble as error:
            log.warning("the relay leaves its slots to expire", error=error)

    def step(self) -> int:
        """Publish what waits now; how many events were acknowledged."""
        return sum(self._drain(outbox) for outbox in self._outboxes)

    def _drain(self, outbox: Outbox) -> int:
        slots = self._slots.held()
        if not slots:
            return 0
        waiting = outbox.waiting(slots.keys(), BATCH)
        metrics.pending.labels(outbox.collection.name).set(len(waiting))
        acknowledged: dict[str, int] = {}
        failure: BaseException | None = None
        line = waiting
        turn = 0
        while line and self._slots.held() and not failure:
            results = self._publish([each.events[turn][1] for each in line])
            going = []
            for each, error in zip(line, results, strict=True):
                if error is not None:
                    failure = error
                    continue
                acknowledged[each.id] = each.events[turn][0]
                if len(each.events) > turn + 1:
                    going.append(each)
            line, turn = going, turn + 1
        count = 0
        for each in waiting:
            if upto := acknowledged.get(each.id):
                outbox.clear(each, upto)
                count += sum(sequence <= upto for sequence, _ in each.events)
        metrics.published.labels(outbox.collection.name).inc(count)
        if failure is not None:
            log.warning("events were not acknowledged; they stay in the outbox", error=failure, at=clock.timestamp())
        return count if failure is None else 0

    def _publish(self, records: list[Record]) -> list[BaseException | None]:
        """Publish, each record in a span of its own: the work it came from goes on in those who consume it."""
        spans = [
            trace.continued(
                record.headers.get("traceparent"),
                f"send {record.topic}",
                "producer",
                envelope.described("send", record.topic),
            )
            for record in records
        ]
        handed_on = [
            replace(record, headers={**record.headers, "traceparent": span.traceparent})
            for record, span in zip(records, spans, strict=True)
        ]
        results = self._bus.publish(handed_on, timeout=self._lease * 0.8)
        for span, error in zip(spans, results, strict=True):
            span.end(error)
        return results
