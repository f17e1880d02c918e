"""The checker's part about events: on the log without gap, no more than was committed, and taken in exactly once."""

from collections import defaultdict
from collections.abc import Collection as Some
from collections.abc import Iterator

from tests.dump import Docs, Dump, Published

OUTBOXES = (
    ("users", "accounts"),
    ("products", "products"),
    ("inventory", "stock"),
    ("inventory", "reservations"),
    ("payments", "payments"),
    ("notifications", "notifications"),
)
"""Service and collection of each aggregate whose document holds its own outbox."""
TOLD = (
    "user.created",
    "order.confirmed",
    "order.rejected",
    "order.cancelled",
    "order.shipped",
    "order.delivered",
)
"""What a notification is recorded for."""
LATEST = "stock.changed"
"""The one type of which states in between need not be told."""


def events(dump: Dump) -> Iterator[str]:
    yield from _committed(dump)
    yield from _waiting(dump)
    yield from _content(dump)
    yield from _in_order(dump)
    yield from _consumed(dump)
    yield from _notifications(dump)
    yield from _inboxes(dump)


def _keys(dump: Dump) -> dict[tuple[str, str], list[Published]]:
    """(topic, key) -> its events in the order of the log."""
    found: dict[tuple[str, str], list[Published]] = defaultdict(list)
    for event in dump.events:
        found[event.topic, event.key].append(event)
    return found


def _committed(dump: Dump) -> Iterator[str]:
    """Published is what was committed, no less and no more."""
    last = {
        (f"{service}.events", id): doc["seq"]
        for service, collection in OUTBOXES
        for id, doc in dump.docs(service, collection).items()
    }
    for commit in dump.docs("orders", "streams").values():
        key = ("orders.events", commit["stream"])
        last[key] = max(last.get(key, 0), commit["sequence"])
    published = {key: max(event.sequence for event in log) for key, log in _keys(dump).items()}
    for key in sorted(last.keys() | published.keys()):
        there, said = published.get(key, 0), last.get(key, 0)
        if there < said:
            yield f"I7 {key[0]} {key[1]}: {there} of {said} events were published"
        elif there > said:
            yield f"I9 {key[0]} {key[1]}: event {there} was never committed"


def _waiting(dump: Dump) -> Iterator[str]:
    for service, collection in (*OUTBOXES, ("orders", "streams")):
        for id, doc in dump.docs(service, collection).items():
            if doc["pending"]:
                yield f"I7 {service}.{collection} {id}: {doc['pending']} events wait in its outbox"


def _content(dump: Dump) -> Iterator[str]:
    """What was published is what was committed, where the commit is still there to compare."""
    published = _keys(dump)
    for commit in dump.docs("orders", "streams").values():
        for event in published.get(("orders.events", commit["stream"]), []):
            same = (event.type, event.data) == (commit["type"], commit["data"])
            if event.sequence == commit["sequence"] and not same:
                yield f"I9 order {commit['stream']}: event {event.sequence} is not what was committed"
    for id, doc in dump.docs("inventory", "stock").items():
        for event in published.get(("inventory.events", id), []):
            if event.sequence == doc["seq"] and not doc["closed"] and event.data["available"] != doc["available"]:
                yield f"I9 product {id}: the last stock.changed says {event.data['available']}, not {doc['available']}"


def _in_order(dump: Dump) -> Iterator[str]:
    """The first publication of each event of an aggregate, and that a second one says the same."""
    for (topic, key), log in _keys(dump).items():
        first: dict[int, Published] = {}
        for event in log:
            known = first.setdefault(event.sequence, event)
            if (known.type, known.data) != (event.type, event.data):
                yield f"I8 {topic} {key}: event {event.sequence} was published with two contents"
        numbers = list(first)
        right = sorted(numbers) if log[0].type == LATEST else list(range(1, len(numbers) + 1))
        if numbers != right:
            yield f"I8 {topic} {key}: first published in the order {numbers}"


def _consumed(dump: Dump) -> Iterator[str]:
    for (group, topic), behind in dump.lag.items():
        if behind:
            yield f"I7 {group}: {behind} events of {topic} not taken in"


def parked(dump: Dump, poison: Some[str]) -> Iterator[str]:
    """Of what a group was given, it has parked the unreadable records, and nothing else is left parked."""
    for id, key in dump.unreadable.items():
        if key not in poison:
            yield f"I9 {id}: a record that nobody can read"
        for group, topic in dump.lag:
            if id.startswith(f"{topic}:") and id not in dump.docs(group, "dead_letters"):
                yield f"I14 {group}: {id} was neither applied nor parked"
    for service, collections in dump.stores.items():
        for id, letter in collections.get("dead_letters", {}).items():
            if id not in dump.unreadable:
                yield f"I14 {service}: {id} is parked: {letter['reason']}"


def _notifications(dump: Dump) -> Iterator[str]:
    """One for each event that is told to someone, under the event's id."""
    erased = {id for id, person in dump.docs("notifications", "recipients").items() if person["erased"]}
    due = {f"{event.key}-{event.sequence}": event for event in dump.of(*TOLD) if event.data["userId"] not in erased}
    made: Docs = dump.docs("notifications", "notifications")
    for id, event in due.items():
        if id not in made:
            yield f"I7 {event.type} {event.key}: nobody was told"
        elif (made[id]["userId"], made[id]["kind"]) != (event.data["userId"], _kind(event.type)):
            yield f"I7 notification {id}: {made[id]['kind']} to {made[id]['userId']}, of {event.type}"
    for id in made.keys() - due.keys():
        if made[id]["userId"] not in erased:
            yield f"I9 notification {id}: of no event"


def _inboxes(dump: Dump) -> Iterator[str]:
    """Who reacts to a cancelled order remembers its event."""
    for event in dump.of("order.cancelled"):
        for service, collection in (("inventory", "reservations"), ("payments", "payments")):
            doc = dump.docs(service, collection).get(event.key)
            if doc and doc["last_seq"]["orders"] != event.sequence:
                yield f"I7 {service} {event.key}: took in event {doc['last_seq']['orders']}, not {event.sequence}"


def _kind(type: str) -> str:
    return "welcome" if type == "user.created" else type.replace(".", "_")
