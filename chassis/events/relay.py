"""The relay: takes what waits in the outboxes to the log, each aggregate in order, and clears what is acknowledged.

    lease slots -> read what waits -> publish, many aggregates at once, one event of each after the other -> clear

While much waits, several hands do that at once, each for some of the slots. What is published twice, because a relay
died before it cleared or woke up late, is the consumers' inbox to tell.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

from chassis import clock
from chassis.bus import Bus, Record
from chassis.errors import TransientError
from chassis.events import envelope
from chassis.events.backlog import backlog
from chassis.events.outbox import SLOTS, Outbox, PendingEvents
from chassis.observe import metrics, trace
from chassis.observe.log import log
from chassis.store import Collection
from chassis.store.leases import Slots

FEW = 50
"""Events that are taken along in passing; for more, all hands are needed."""
HANDS = 4
BATCH = 500
"""Aggregates that one hand has under way."""
EACH = 20
"""Events of one aggregate in a batch: a long line must not hold up the others."""
SPELL = 2.0
"""Seconds; then other outboxes have their turn."""
AWAKE, RESTING = 2.0, 4
"""Seconds after the last event from which on it looks only a fourth as often."""
DELIVERY = 0.6
"""The part of its lease that a delivery may take: the lease was renewed at most a third of it ago."""


class Relay:
    """`lease` and `pause` in seconds; a pause is made when nothing waits."""

    def __init__(self, outboxes: list[Outbox], bus: Bus, leases: Collection, lease: float, pause: float) -> None:
        self._outboxes, self._bus, self._pause, self._lease = outboxes, bus, pause, lease
        self._slots = Slots(leases, "relay", SLOTS, lease)
        self._gate = threading.Lock()  # for the slots
        self._tell_backlog = backlog(outboxes, self._held)
        self._due: dict[str, float] = {}  # by collection: when it is looked at again
        self._reading = threading.Lock()  # by turns, so that the first hand publishes while the others read

    def run(self, stop: threading.Event) -> None:
        """Relay until told to stop."""
        pause, last = self._pause, clock.monotonic()
        while not stop.is_set():
            try:
                if self.step():
                    pause, last = 0.0, clock.monotonic()
                else:
                    pause = self._pause * (1 if clock.monotonic() < last + AWAKE else RESTING)
            except TransientError as error:
                pause = min(max(pause * 2, 0.2), 5.0)
                log.warning("the relay waits", error=error)
            self._tell_backlog()
            if pause:
                stop.wait(pause)
        try:
            self._slots.release()
        except TransientError as error:
            log.warning("the relay leaves its slots to expire", error=error)

    def step(self) -> int:
        """Publish what waits now; how many events were acknowledged."""
        now = clock.monotonic()
        return sum(self._drain(each) for each in self._outboxes if now >= self._due.get(each.collection.name, now))

    def _drain(self, outbox: Outbox) -> int:
        slots = sorted(self._held())
        waiting = outbox.pending(slots, FEW) if slots else []
        if slots and not waiting:
            self._due[outbox.collection.name] = clock.monotonic() + outbox.idle_poll_s
        if sum(len(each.events) for each in waiting) < FEW:
            return self._carry(outbox, slots, waiting)
        until = clock.monotonic() + SPELL
        with ThreadPoolExecutor(HANDS, "relay") as hands:
            shares = [slots[hand::HANDS] for hand in range(HANDS)]
            return sum(hands.map(lambda share: self._spell(outbox, share, until), shares))

    def _spell(self, outbox: Outbox, slots: list[int], until: float) -> int:
        """What one hand does: batches of its slots, one after the other, until nothing of them waits."""
        total, more = 0, bool(slots)
        while more and clock.monotonic() < until:
            with self._reading:
                waiting = outbox.pending(slots, BATCH)
            count = self._carry(outbox, slots, waiting)
            more = count > 0 and (len(waiting) == BATCH or any(len(each.events) > EACH for each in waiting))
            total += count
        return total

    def _carry(self, outbox: Outbox, slots: list[int], waiting: list[PendingEvents]) -> int:
        """Publish what waits and clear it, if these slots are still held; how many events were acknowledged."""
        if not waiting or not self._held() >= set(slots):
            return 0
        outcomes = self._publish([record for each in waiting for _, record in each.events[:EACH]])
        acknowledged: list[tuple[PendingEvents, int]] = []
        count = at = 0
        for each in waiting:
            behind = at + len(each.events[:EACH])
            done = len(list(takewhile(lambda outcome: outcome is None, outcomes[at:behind])))
            if done:
                acknowledged.append((each, each.events[done - 1][0]))
            count, at = count + done, behind
        outbox.clear(acknowledged)
        metrics.relay_published[outbox.collection.name].inc(count)
        metrics.relay_failed[outbox.collection.name].inc(len(outcomes) - outcomes.count(None))
        failure = next(filter(None, outcomes), None)
        if failure is not None:
            if not count:
                raise TransientError(f"no event was acknowledged: {failure}") from failure
            log.warning("events were not acknowledged; they stay in the outbox", error=failure)
        return count

    def _held(self) -> set[int]:
        """The slots that are this relay's for most of a lease from now on."""
        with self._gate:
            return set(self._slots.held())

    def _publish(self, records: list[Record]) -> list[BaseException | None]:
        """Publish; the work that each record came from goes on in those who consume it, or begins here."""
        handed_on, spans = list(records), {}
        about = {topic: envelope.described("send", topic) for topic in {record.topic for record in records}}
        for at, record in enumerate(records):
            parent = record.headers.get("traceparent")
            if trace.recording() or not parent:
                spans[at] = trace.continued(parent, f"send {record.topic}", "producer", about[record.topic])
                handed_on[at] = record._replace(headers={**record.headers, "traceparent": spans[at].traceparent})
        outcomes = self._bus.publish(handed_on, timeout=self._lease * DELIVERY)
        for at, span in spans.items():
            span.end(outcomes[at])
        return outcomes
