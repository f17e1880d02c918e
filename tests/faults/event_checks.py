"""The checker's part on events: published in order without gap, equal to what was committed, consumed exactly once."""

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
    ("carts", "carts"),
)
"""Service and collection of each aggregate whose document embeds its outbox."""
NOTIFIED_TYPES = (
    "user.created",
    "order.confirmed",
    "order.rejected",
    "order.cancelled",
    "order.shipped",
    "order.delivered",
)
"""Event types that cause a notification."""
LATEST_STATE_TYPE = "stock.changed"
"""The event type of the latest-state outbox: intermediate states may be left out."""


def check_events(dump: Dump) -> Iterator[str]:
    """Yield every violation of I7, I8 and I9."""
    yield from _check_published_sequences(dump)
    yield from _check_outboxes_are_empty(dump)
    yield from _check_content(dump)
    yield from _check_order(dump)
    yield from _check_lag(dump)
    yield from _check_notifications(dump)
    yield from _check_inboxes(dump)


def _published_by_key(dump: Dump) -> dict[tuple[str, str], list[Published]]:
    """Return (topic, key) -> events in the order of the topic."""
    found: dict[tuple[str, str], list[Published]] = defaultdict(list)
    for event in dump.events:
        found[event.topic, event.key].append(event)
    return found


def _check_published_sequences(dump: Dump) -> Iterator[str]:
    """The last published sequence number of each aggregate is the last committed one, unless erasure deleted it."""
    committed = {
        (f"{service}.events", id): doc["seq"]
        for service, collection in OUTBOXES
        for id, doc in dump.docs(service, collection).items()
    }
    for commit in dump.docs("orders", "streams").values():
        key = ("orders.events", commit["stream"])
        committed[key] = max(committed.get(key, 0), commit["sequence"])
    erased = _erased_users(dump)
    published = {
        key: max(event.sequence for event in events)
        for key, events in _published_by_key(dump).items()
        if key in committed or events[0].type != "notification.sent" or events[0].data["userId"] not in erased
    }
    for key in sorted(committed.keys() | published.keys()):
        actual, expected = published.get(key, 0), committed.get(key, 0)
        if actual < expected:
            yield f"I7 {key[0]} {key[1]}: {actual} of {expected} events were published"
        elif actual > expected:
            yield f"I9 {key[0]} {key[1]}: event {actual} was never committed"


def _check_outboxes_are_empty(dump: Dump) -> Iterator[str]:
    for service, collection in (*OUTBOXES, ("orders", "streams")):
        for id, doc in dump.docs(service, collection).items():
            if doc["pending"]:
                yield f"I7 {service}.{collection} {id}: {doc['pending']} events are pending in its outbox"


def _check_content(dump: Dump) -> Iterator[str]:
    """A published event equals its commit, where the commit is still stored."""
    published = _published_by_key(dump)
    for commit in dump.docs("orders", "streams").values():
        for event in published.get(("orders.events", commit["stream"]), []):
            is_same = (event.type, event.data) == (commit["type"], commit["data"])
            if event.sequence == commit["sequence"] and not is_same:
                yield f"I9 order {commit['stream']}: event {event.sequence} differs from its commit"
    for id, doc in dump.docs("inventory", "stock").items():
        for event in published.get(("inventory.events", id), []):
            if event.sequence == doc["seq"] and not doc["closed"] and event.data["available"] != doc["available"]:
                yield f"I9 product {id}: the last stock.changed has {event.data['available']}, not {doc['available']}"


def _check_order(dump: Dump) -> Iterator[str]:
    """First publications are in sequence, and duplicates have the same content."""
    for (topic, key), events in _published_by_key(dump).items():
        first: dict[int, Published] = {}
        for event in events:
            known = first.setdefault(event.sequence, event)
            if (known.type, known.data) != (event.type, event.data):
                yield f"I8 {topic} {key}: event {event.sequence} was published with two contents"
        numbers = list(first)
        expected = sorted(numbers) if events[0].type == LATEST_STATE_TYPE else list(range(1, len(numbers) + 1))
        if numbers != expected:
            yield f"I8 {topic} {key}: first published in the order {numbers}"


def _check_lag(dump: Dump) -> Iterator[str]:
    for (group, topic), lag in dump.lag.items():
        if lag:
            yield f"I7 {group}: {lag} events of {topic} not consumed"


def check_dead_letters(dump: Dump, poison: Some[str]) -> Iterator[str]:
    """I9, I14: each group has parked every malformed record it was given, and no other record is left parked."""
    for id, key in dump.unreadable.items():
        if key not in poison:
            yield f"I9 {id}: malformed record"
        for group, topic in dump.lag:
            if id.startswith(f"{topic}:") and id not in dump.docs(group, "dead_letters"):
                yield f"I14 {group}: {id} was neither applied nor parked"
    for service, collections in dump.stores.items():
        for id, dead_letter in collections.get("dead_letters", {}).items():
            if id not in dump.unreadable:
                yield f"I14 {service}: {id} is parked: {dead_letter['reason']}"


def _check_notifications(dump: Dump) -> Iterator[str]:
    """One notification exists for each event that causes one, under an id made from the event's id."""
    erased = _erased_users(dump)
    due = {
        f"{event.key}-{event.sequence}": event
        for event in (*dump.of(*NOTIFIED_TYPES), *_reused_tokens(dump))
        if event.data["userId"] not in erased
    }
    stored: Docs = dump.docs("notifications", "notifications")
    for id, event in due.items():
        if id not in stored:
            yield f"I7 {event.type} {event.key}: no notification"
        elif (stored[id]["userId"], stored[id]["kind"]) != (event.data["userId"], _kind(event.type)):
            yield f"I7 notification {id}: {stored[id]['kind']} to {stored[id]['userId']}, of {event.type}"
    for id in stored.keys() - due.keys():
        if stored[id]["userId"] not in erased:
            yield f"I9 notification {id}: of no event"


def _erased_users(dump: Dump) -> set[str]:
    return {id for id, person in dump.docs("notifications", "recipients").items() if person["erased"]}


def _reused_tokens(dump: Dump) -> Iterator[Published]:
    return (event for event in dump.of("user.sessions_revoked") if event.data.get("reason") == "refresh_reuse")


def _check_inboxes(dump: Dump) -> Iterator[str]:
    """The aggregates that react to a canceled order have stored its sequence number."""
    for event in dump.of("order.cancelled"):
        for service, collection in (("inventory", "reservations"), ("payments", "payments")):
            doc = dump.docs(service, collection).get(event.key)
            if doc and doc["last_seq"]["orders"] != event.sequence:
                yield f"I7 {service} {event.key}: consumed event {doc['last_seq']['orders']}, not {event.sequence}"


def _kind(type: str) -> str:
    named = {"user.created": "welcome", "user.sessions_revoked": "session_ended"}
    return named.get(type, type.replace(".", "_"))
