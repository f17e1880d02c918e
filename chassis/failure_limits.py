"""Limits of failures, which all replicas share: beyond some failures in a window, each further one doubles a wait.

    {_id: "hash of limit and key", count, until: "when it is forgotten", blockedUntil: "end of the wait; empty: none"}

Failures count only while there is no wait. Attempts that are rejected during a wait do not count: a client that keeps
trying cannot prolong the wait of others.
"""

from dataclasses import dataclass

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.keyed_hash import keyed_hashes
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate, Index

failures = Collection("failures", Index("until"))


class TooManyFailures(DomainError, title="Too many requests", category=ErrorCategory.RATE_LIMITED):
    """Too many attempts have failed recently."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"Too many attempts have failed. Wait {wait_s} s.", retryAfter=wait_s)


@dataclass(frozen=True)
class FailureLimit:
    """At most `max_failures` within `window_s`; then a wait of `first_wait_s`, doubled up to `max_wait_s`."""

    name: str
    max_failures: int
    window_s: float
    first_wait_s: float
    max_wait_s: float

    def wait_s(self, key: str) -> int:
        """Return the seconds that are left to wait, 0 for none. Raises StoreUnavailable."""
        found = self._find(key) if settings().rate_limits == "on" else None
        if found is None or found["blockedUntil"] <= clock.timestamp():
            return 0
        return max(1, round(-clock.seconds_since(found["blockedUntil"])))

    def count(self, key: str) -> None:
        """Count a failure. Raises StoreUnavailable."""
        while settings().rate_limits == "on":
            found = self._find(key)
            if found and found["until"] > clock.timestamp():
                fields = self._fields(found["count"] + 1, found["until"])
            else:
                fields = self._fields(1, clock.timestamp_in(self.window_s))
            if found is None:
                try:
                    failures.insert({"_id": self._ids(key)[0], **fields})
                    return
                except Duplicate:
                    continue
            unchanged = {name: found[name] for name in ("count", "until")}
            if failures.update(found["_id"], {"$set": fields}, when=unchanged):
                return

    def forget(self, key: str) -> None:
        """Forget the failures of a key, and its wait. Raises StoreUnavailable."""
        for id in self._ids(key):
            failures.delete(id)

    def _fields(self, count: int, until: str) -> Doc:
        """Return the state after this many failures, in a window that ends then."""
        if count < self.max_failures:
            return {"count": count, "until": until, "blockedUntil": ""}
        doublings = min(count - self.max_failures, 30)
        wait_s = min(self.max_wait_s, self.first_wait_s * 2**doublings)
        return {
            "count": count,
            "until": max(until, clock.timestamp_in(wait_s + self.window_s)),
            "blockedUntil": clock.timestamp_in(wait_s),
        }

    def _find(self, key: str) -> Doc | None:
        """Return the state of a key; a process with another signing secret may have stored it."""
        found = failures.find({"_id": {"$in": self._ids(key)}}, limit=2)
        return found[0] if found else None

    def _ids(self, key: str) -> list[str]:
        return [digest.hex() for digest in keyed_hashes(f"{self.name} {key}".encode())]


def delete_forgotten() -> None:
    """Delete what no longer counts."""
    failures.delete_all({"until": {"$lt": clock.timestamp()}}, sort="until")
