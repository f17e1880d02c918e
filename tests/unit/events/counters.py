"""Counters that publish what they count, for the tests of the relay and of the consumer."""

import threading

from chassis.events import dead_letters, inbox, outbox
from chassis.events.consumer import Consumer
from chassis.events.outbox import EmbeddedOutbox
from chassis.events.relay import Relay
from chassis.messages import Event
from chassis.store import Collection, merge_updates


class Counted(Event, type="counter.counted", key="counter"):
    counter: str
    step: int


class Erased(Event, type="counter.erased", key="counter", erases=True):
    counter: str


class Ignored(Event, type="counter.ignored", key="counter"):
    counter: str


class Alarm(Event, type="counter.alarm", key="counter", unordered=True):
    counter: str


Counted.service = Erased.service = Ignored.service = Alarm.service = "counters"
counters = Collection("counters", outbox.PENDING_INDEX)
totals = Collection("totals")
leases = Collection("leases")
TOPIC = "counters.events"


def open_counter(id, steps=1):
    counters.insert({"_id": id, **outbox.new_outbox(id, *(Counted(counter=id, step=n) for n in range(1, steps + 1)))})


def append(id, event):
    update, guard = outbox.append_event(counters.get(id), event)
    assert counters.update(id, update, when=guard)


def new_relay(bus):
    return Relay(
        [EmbeddedOutbox("counters", counters), dead_letters.DeadLetterForwarder("totals")],
        bus,
        leases,
        lease_s=10,
        poll_s=0.1,
    )


def published(bus, topic=TOPIC, group="reader"):
    member = bus.consumer(group, [topic])
    found = []
    while records := member.poll(500, 0):
        found += records
    member.close()
    return found


class TotalsConsumer:
    """A consumer that sums up the counted steps. Handling a counter in `failing` raises its error."""

    def __init__(self, bus, handles=(Counted, Erased, Alarm)):
        self.failing: dict[str, Exception] = {}
        self.seen: list[str] = []
        handlers = {Counted: self.count, Erased: self.erase, Alarm: lambda event, meta: self.seen.append(meta.id)}
        self.consumer = Consumer(bus.consumer("totals", [TOPIC]), {event: handlers[event] for event in handles})

    def count(self, event, meta):
        if error := self.failing.get(event.counter):
            raise error
        self.seen.append(meta.id)
        if totals.get(event.counter) is None:
            totals.insert({"_id": event.counter, "sum": 0, **inbox.new_inbox("counters")})
        totals.update(
            event.counter,
            merge_updates({"$inc": {"sum": event.step}}, inbox.mark_applied(meta)),
            when=inbox.not_applied(meta),
        )

    def erase(self, event, meta):
        totals.delete(event.counter)
        self.seen.append(meta.id)

    def run(self):
        while self.consumer.step(wait_s=0):
            pass

    def leave(self):
        """End as a process does that stops: leave the group."""
        stop = threading.Event()
        stop.set()
        self.consumer.run(stop)


def total(id):
    doc = totals.get(id)
    return doc["sum"] if doc else None


def park_counter(bus, relay, id, steps=1):
    """Open a counter whose events cannot be handled; return the consumer that has parked them."""
    open_counter(id, steps)
    relay.step()
    reader = TotalsConsumer(bus)
    reader.failing[id] = ValueError("I cannot")
    reader.run()
    return reader
