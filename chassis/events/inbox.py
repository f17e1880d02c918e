"""The inbox: a document remembers the last event of each source that it applied, in the same write as the effect.

    {_id, ..., last_seq: {"orders": 7}}

    cards.update(id, merge_updates({"$set": {...}}, inbox.mark_applied(meta)), when=inbox.not_applied(meta))

So a redelivered event takes effect once. Sequence numbers are those of one aggregate: a document can track one
aggregate per source.
"""

from chassis.events.envelope import Meta
from chassis.store import Doc, Filter, Update


def new_inbox(*sources: str) -> Doc:
    """Return the inbox field of a new document that has applied no event of these services yet."""
    return {"last_seq": dict.fromkeys(sources, 0)}


def not_applied(meta: Meta) -> Filter:
    """Return the guard that the document has not applied this event or a later one."""
    return {f"last_seq.{meta.source}": {"$lt": meta.sequence}}


def mark_applied(meta: Meta) -> Update:
    """Return the update that marks this event as applied."""
    return {"$set": {f"last_seq.{meta.source}": meta.sequence}}
