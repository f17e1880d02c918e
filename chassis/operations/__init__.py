"""What an operator sees and does in one service: its sagas, its dead letters, its outboxes.

    sagas.Sagas                 list, show, retry, abort, skip
    dead_letters.DeadLetters    list, show, redrive, discard
    outboxes.Outboxes           count pending events, list and retry what is set aside

These are the functions below the command line. Arguments and results are plain values (text, numbers, dicts as JSON
has them), so that a route can offer the same functions. They need the collections of the service attached to its store;
each may raise StoreUnavailable.
"""

from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from chassis.store import Collection

Row = dict[str, Any]
"""What an operator sees of one object, as JSON has it."""

MAX_CANDIDATES = 10


def ids_with_prefix(collection: Collection, prefix: str) -> list[str]:
    """Return the ids that begin with this text, at most MAX_CANDIDATES; the id itself alone if there is one."""
    if not prefix:
        return []
    page = collection.find({"_id": {"$gte": prefix}}, limit=MAX_CANDIDATES)
    found: Iterator[str] = takewhile(lambda id: id.startswith(prefix), (doc["_id"] for doc in page))
    ids = list(found)
    return ids[:1] if ids[:1] == [prefix] else ids
