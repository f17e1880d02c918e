"""Revoked access tokens: the worker stores each revocation, and each web process reads the new ones once a second.

    {_id: "id of the event", number: 7, user, belowVersion, session, until}

The unique `number` makes the revocations a list without gaps: number 8 can be inserted only once 7 is visible. A reader
remembers the last number it read, and compares no times. Documents are deleted once their tokens have expired.
"""

import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from chassis import clock
from chassis.access import RevokingEvent
from chassis.background import run_until
from chassis.events.envelope import Meta
from chassis.events.handlers import Handler
from chassis.store import MAX_PAGE_SIZE, Collection, Duplicate, Index

POLL_S = 1.0
MAX_CLOCK_DIFFERENCE_S = 600.0
"""A revocation is kept this much longer than its tokens live: the clocks of two machines may differ."""
MAX_TOKEN_LIFE_S = 86_400.0
"""Assumed lifetime of tokens where an event does not name the time until which its revocation matters."""
MAX_REMEMBERED = 100_000
"""Users and sessions in the memory of a web process; of more, it forgets those that were revoked first."""

revocations = Collection("revocations", Index("number", unique=True), Index("until"))


def record(event: RevokingEvent, meta: Meta) -> None:
    """Store the revocation of an event, once however often the event is delivered."""
    revoked = event.revocation()
    until = revoked.until or clock.timestamp(datetime.fromisoformat(meta.time) + timedelta(seconds=MAX_TOKEN_LIFE_S))
    if until < clock.timestamp_ago(MAX_CLOCK_DIFFERENCE_S):
        return
    while revocations.get(meta.id) is None:
        newest = revocations.find(sort="-number", limit=1)
        try:
            revocations.insert(
                {
                    "_id": meta.id,
                    "number": newest[0]["number"] + 1 if newest else 1,
                    "user": revoked.user,
                    "belowVersion": revoked.below_version,
                    "session": revoked.session,
                    "until": until,
                }
            )
        except Duplicate:
            continue  # another worker took the number, or stored the same event


def recording(handle: Handler) -> Handler:
    """Return an event handler that records the revocation before it calls `handle`."""

    @wraps(handle)
    def record_and_handle(event: Any, meta: Meta) -> None:
        record(event, meta)
        handle(event, meta)

    return record_and_handle


def delete_expired_revocations() -> None:
    """Delete the revocations whose tokens have expired; the newest stays, so that numbers never start again."""
    newest = revocations.find(sort="-number", limit=1)
    expired = {"until": {"$lt": clock.timestamp_ago(MAX_CLOCK_DIFFERENCE_S)}}
    for doc in revocations.find(expired, sort="until", limit=MAX_PAGE_SIZE):
        if doc["_id"] != newest[0]["_id"]:
            revocations.delete(doc["_id"])


class KnownRevocations:
    """The revocations that this process knows, in memory."""

    def __init__(self) -> None:
        self._last_number = -1
        self._lock, self._first_read = threading.Lock(), threading.Lock()
        self._entries: OrderedDict[str, tuple[int, str]] = OrderedDict()
        """User -> (version below which tokens are invalid, until); for the id of a session the version is 0."""

    def follow(self, stop: threading.Event) -> None:
        """Read new revocations once a second until `stop` is set."""
        run_until(stop, self.read_new, "revoked access tokens cannot be read")

    def read_new(self) -> float:
        """Read the revocations stored since the last call; return the seconds until the next one."""
        last = max(self._last_number, 0)
        while True:
            page = revocations.find({"number": {"$gt": last}}, sort="number", limit=MAX_PAGE_SIZE)
            for doc in page:
                self._add(doc["session"] or doc["user"], doc["belowVersion"], doc["until"])
                last = doc["number"]
            self._last_number = last
            if len(page) < MAX_PAGE_SIZE:
                self._forget_expired()
                return POLL_S

    def is_revoked(self, user: str, credentials_version: int, session: str) -> bool:
        """Return whether a valid access token is revoked. The first call may read; it raises TransientError."""
        if self._last_number < 0:
            with self._first_read:
                if self._last_number < 0:
                    self.read_new()
        entries = self._entries
        if not entries:
            return False
        below_version, _ = entries.get(user, (0, ""))
        return credentials_version < below_version or (session != "" and session in entries)

    def _add(self, name: str, below_version: int, until: str) -> None:
        with self._lock:
            known_version, known_until = self._entries.get(name, (0, ""))
            self._entries[name] = max(below_version, known_version), max(until, known_until)
            self._entries.move_to_end(name)
            while len(self._entries) > MAX_REMEMBERED:
                self._entries.popitem(last=False)

    def _forget_expired(self) -> None:
        """Forget the expired entries, in the order of their revocation, up to the first that has not expired."""
        oldest = clock.timestamp_ago(MAX_CLOCK_DIFFERENCE_S)
        with self._lock:
            while self._entries and next(iter(self._entries.values()))[1] < oldest:
                self._entries.popitem(last=False)
