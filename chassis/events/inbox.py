"""The inbox: a document remembers the last event of each source that it took in, in the very write of the effect.

cards.update(id, merge_updates({"$set": {...}}, inbox.seen(meta)), when={..., **inbox.unseen(meta)})
"""

from chassis.events.envelope import Meta
from chassis.store import Doc, Filter, Update


def empty(*sources: str) -> Doc:
    """The field of a new document that has seen nothing yet of these services."""
    return {"last_seq": dict.fromkeys(sources, 0)}


def unseen(meta: Meta) -> Filter:
    """The guard that this event is newer than what the document has taken in."""
    return {f"last_seq.{meta.source}": {"$lt": meta.sequence}}


def seen(meta: Meta) -> Update:
    """The change that remembers this event."""
    return {"$set": {f"last_seq.{meta.source}": meta.sequence}}
