"""The inbox: a document remembers the last event of each source that it applied, in the same write as the effect.

    {_id, ..., last_seq: {"orders": 7}}

    cards.update(id, merge_updates({"$set": {...}}, inbox.seen(meta)), when=inbox.unseen(meta))

So an event that is delivered twice takes effect once. The sequence is that of one aggregate: a document keeps an inbox
for one aggregate of each source.
"""

from chassis.events.envelope import Meta
from chassis.store import Doc, Filter, Update


def new_inbox(*sources: str) -> Doc:
    """Return the inbox field of a new document that has applied no event of these services yet."""
    return {"last_seq": dict.fromkeys(sources, 0)}


def unseen(meta: Meta) -> Filter:
    """Return the guard that the document has not applied this event or a later one."""
    return {f"last_seq.{meta.source}": {"$lt": meta.sequence}}


def seen(meta: Meta) -> Update:
    """Return the update that remembers this event as applied."""
    return {"$set": {f"last_seq.{meta.source}": meta.sequence}}
