"""Counters that publish what they count, for the tests of the relay and of the consumer."""

from chassis.events import dead_letters, outbox
from chassis.events.outbox import EmbeddedOutbox
from chassis.events.relay import Relay
from chassis.messages import Event
from chassis.store import Collection


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
