"""Leases: who may do a thing now, and for how long, kept in one document for each name.

    {_id: "relay", version, members: {"<holder>": until}, slots: {"3": {holder, fence}}}

Members share the slots evenly. A lease is for order and economy; what must never happen twice is guarded by a fence
or a version where it happens, since a holder may sleep past its lease and not know it.
"""

from typing import Any

from chassis import clock
from chassis.store import Collection, Doc, Duplicate

_TRIES = 20


class Slots:
    """This process's share of `count` numbered slots, leased for `ttl` seconds and renewed at a third of that."""

    def __init__(self, collection: Collection, name: str, count: int, ttl: float) -> None:
        self._collection, self._name, self._count, self._ttl = collection, name, count, ttl
        self.holder = clock.new_id()
        self._held: dict[int, int] = {}
        self._renewed = float("-inf")

    def held(self) -> dict[int, int]:
        """Slot -> fence of what is held now; renews, takes what is free and gives up what is beyond the fair share."""
        started = clock.monotonic()
        if started - self._renewed >= self._ttl / 3:
            self._held = self._change(leave=False)
            self._renewed = started
        return self._held

    def refresh(self) -> None:
        """Renew at the next `held` if somebody came or went: for whom reading the leases costs little."""
        doc = self._read()
        members = {member: until for member, until in doc["members"].items() if until > clock.timestamp()}
        if self.holder not in members or self._mine(self._shared(doc["slots"], members)) != self._held:
            self._renewed = float("-inf")

    def release(self) -> None:
        """Give everything up, so that others need not wait for the lease to end."""
        self._held = self._change(leave=True)
        self._renewed = float("-inf")

    def _change(self, leave: bool) -> dict[int, int]:
        for _ in range(_TRIES):
            doc, now = self._read(), clock.timestamp()
            members = {member: until for member, until in doc["members"].items() if until > now}
            members.pop(self.holder, None)
            if not leave:
                members[self.holder] = clock.timestamp_in(self._ttl)
            slots = self._shared(doc["slots"], members)
            change: dict[str, dict[str, Any]] = {"$set": {"members": members, "slots": slots}, "$inc": {"version": 1}}
            if self._collection.update(self._name, change, when={"version": doc["version"]}):
                return self._mine(slots)
        return {}

    def _mine(self, slots: dict[str, Doc]) -> dict[int, int]:
        return {int(n): slot["fence"] for n, slot in slots.items() if slot["holder"] == self.holder}

    def _shared(self, slots: dict[str, Doc], members: dict[str, str]) -> dict[str, Doc]:
        """The slots after this member gave up those beyond its share and took free ones up to it."""
        order = sorted(members)
        shared = {}
        for n in map(str, range(self._count)):
            slot = slots.get(n, {"holder": "", "fence": 0})
            due = order[int(n) % len(order)] if order else ""
            if slot["holder"] not in members or (slot["holder"] == self.holder != due):
                slot = {"holder": "", "fence": slot["fence"]}
            if not slot["holder"] and due == self.holder:
                slot = {"holder": self.holder, "fence": slot["fence"] + 1}
            shared[n] = slot
        return shared

    def _read(self) -> Doc:
        doc = self._collection.get(self._name)
        if doc is None:
            doc = {"_id": self._name, "version": 0, "members": {}, "slots": {}}
            try:
                self._collection.insert(doc)
            except Duplicate:
                return self._read()
        return doc
