"""Whether a store takes writes: readiness only reads, and a store may still do that while it rejects every write."""

from chassis import clock
from chassis.store import Collection, Duplicate, Store

_ID = "status"


def try_write(store: Store) -> None:
    """Write one small document, always the same, in a collection of its own. Raises StoreUnavailable."""
    probes = Collection("write_probe").attach(store)
    if probes.update(_ID, {"$set": {"at": clock.timestamp()}}) is None:
        try:
            probes.insert({"_id": _ID, "at": clock.timestamp()})
        except Duplicate:  # another one writes it just now
            pass
