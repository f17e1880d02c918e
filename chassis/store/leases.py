"""Leases on numbered slots, in one document for each name: who may work on a slot, and until when.

    {_id: "relay", version, members: {"<holder>": until}, slots: {"3": {holder, fence}}}

Members share the slots evenly. A lease avoids duplicate work; it does not exclude it: a holder may resume after its
lease expired without noticing. What must not happen twice is a conditional write (`when=`), which requires the fencing
token (`fence`) or the version that the writer has read.
"""

from typing import Any

from chassis import clock
from chassis.store import Collection, Doc, Duplicate

_MAX_TRIES = 20


class Slots:
    """A member's share of `count` slots, leased for `ttl_s` and renewed after a third of that."""

    def __init__(self, collection: Collection, name: str, count: int, ttl_s: float) -> None:
        self._collection, self._name, self._count, self._ttl_s = collection, name, count, ttl_s
        self.holder = clock.new_id()
        self._held: dict[int, int] = {}
        self._renewed_at = float("-inf")

    def held(self) -> dict[int, int]:
        """Return slot -> fence. Renews the lease, takes free slots, and releases those beyond the fair share."""
        started = clock.monotonic()
        if started - self._renewed_at >= self._ttl_s / 3:
            self._held = self._renew(leave=False)
            self._renewed_at = started
        return self._held

    def refresh(self) -> None:
        """Renew at the next `held` if a member joined or left; for callers that read the leases cheaply."""
        doc = self._read()
        members = {member: until for member, until in doc["members"].items() if until > clock.timestamp()}
        if self.holder not in members or self._held_in(self._assigned(doc["slots"], members)) != self._held:
            self._renewed_at = float("-inf")

    def release(self) -> None:
        """Release all slots, so that others need not wait for the lease to expire."""
        self._held = self._renew(leave=True)
        self._renewed_at = float("-inf")

    def _renew(self, leave: bool) -> dict[int, int]:
        for _ in range(_MAX_TRIES):
            doc, now = self._read(), clock.timestamp()
            members = {member: until for member, until in doc["members"].items() if until > now}
            members.pop(self.holder, None)
            if not leave:
                members[self.holder] = clock.timestamp_in(self._ttl_s)
            slots = self._assigned(doc["slots"], members)
            update: dict[str, dict[str, Any]] = {"$set": {"members": members, "slots": slots}, "$inc": {"version": 1}}
            if self._collection.update(self._name, update, when={"version": doc["version"]}):
                return self._held_in(slots)
        return {}

    def _held_in(self, slots: dict[str, Doc]) -> dict[int, int]:
        return {int(n): slot["fence"] for n, slot in slots.items() if slot["holder"] == self.holder}

    def _assigned(self, slots: dict[str, Doc], members: dict[str, str]) -> dict[str, Doc]:
        """Return the slots after this member released those beyond its share and took free ones up to it."""
        order = sorted(members)
        assigned = {}
        for n in map(str, range(self._count)):
            slot = slots.get(n, {"holder": "", "fence": 0})
            due = order[int(n) % len(order)] if order else ""
            if slot["holder"] not in members or (slot["holder"] == self.holder != due):
                slot = {"holder": "", "fence": slot["fence"]}
            if not slot["holder"] and due == self.holder:
                slot = {"holder": self.holder, "fence": slot["fence"] + 1}
            assigned[n] = slot
        return assigned

    def _read(self) -> Doc:
        doc = self._collection.get(self._name)
        if doc is None:
            doc = {"_id": self._name, "version": 0, "members": {}, "slots": {}}
            try:
                self._collection.insert(doc)
            except Duplicate:
                return self._read()
        return doc
