"""The migration: rewrites documents of earlier versions, page by page, while processes of two releases work on them.

    migrations   {_id: "<collection>", version, after: "<last id>", read, rewritten, failed, startedAt, finishedAt,
                  holder, until}

A pass reads all documents in the order of `_id`, and continues behind `after` if its process dies. One process holds a
pass at a time; two would only do the same work. Processes of the release before may write while a pass runs and after
it. So passes are repeated: soon after one that rewrote something, rarely after one that did not.
"""

import threading
from collections.abc import Callable, Sequence

from chassis import clock
from chassis.background import run_until
from chassis.errors import TransientError
from chassis.observe.log import log
from chassis.store import Collection, Doc, Duplicate

PAGE = 200
"""Documents that are read, and rewritten, at once."""
LEASE_S = 30.0
"""How long a pass belongs to a process that does not report progress."""
POLL_S = 30.0
"""Seconds between two looks of a worker whether a pass is due."""
REPEAT_S, RECHECK_S = 60.0, 3600.0
"""Seconds until the next pass, after one that rewrote documents and after one that did not."""

records = Collection("migrations")


class Migration:
    """The migration of one collection, by one process."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self._holder = clock.new_id()

    def is_due(self) -> bool:
        """Return whether an unfinished pass has no holder, or the next pass is due."""
        record = self.record()
        if record["version"] > self.collection.versions.current:  # a later release migrates
            return False
        if not record["finishedAt"]:
            return bool(record["until"] < clock.timestamp())
        pause_s = REPEAT_S if record["rewritten"] else RECHECK_S
        is_older = record["version"] < self.collection.versions.current
        return is_older or bool(record["finishedAt"] < clock.timestamp_ago(pause_s))

    def hold(self) -> bool:
        """Hold the unfinished pass, or begin a new one; return whether it is new.

        The process that held it stops before its next page.
        """
        while True:
            record = self.record()
            is_new = bool(record["finishedAt"]) or record["version"] != self.collection.versions.current
            fields: Doc = {"holder": self._holder, "until": clock.timestamp_in(LEASE_S)}
            if is_new:
                self.collection.ensure_indexes()  # a process of an earlier release may have dropped them
                fields |= _new_pass(self.collection.versions.current)
            if records.update(record["_id"], {"$set": fields}, when={"holder": record["holder"]}):
                return is_new

    def step(self) -> bool:
        """Rewrite the next page; return whether this process continues.

        Raises StoreUnavailable; the pass then continues at the same page.
        """
        record = self.record()
        if record["holder"] != self._holder or record["finishedAt"]:
            return False
        after = record["after"]
        page = self.collection.store.find(self.collection, {}, "_id", PAGE, (after, after) if after else None)
        stale, damaged = [], 0
        for doc in page:
            try:
                if self.collection.changes(doc):
                    stale.append(doc["_id"])
            except Exception as error:
                self._log_failure(doc["_id"], error)
                damaged += 1
        rewritten, failed = self._rewrite(stale)
        is_last = len(page) < PAGE
        fields = {
            "after": page[-1]["_id"] if page else after,
            "finishedAt": clock.timestamp() if is_last else "",
            "until": clock.timestamp_in(LEASE_S),
        }
        counts = {"read": len(page), "rewritten": rewritten, "failed": damaged + failed}
        has_moved = records.update(record["_id"], {"$set": fields, "$inc": counts}, when={"holder": self._holder})
        return bool(has_moved) and not is_last

    def _rewrite(self, ids: list[str]) -> tuple[int, int]:
        """Rewrite documents, each on its own if that fails; return how many were rewritten, and how many failed."""
        try:
            return self.collection.rewrite(ids) if ids else 0, 0
        except TransientError:
            raise
        except Exception:  # such as a document that becomes too large; others may be rewritten already
            failed = sum(not self._rewrite_alone(id) for id in ids)
            return len(ids) - failed, failed

    def _rewrite_alone(self, id: str) -> bool:
        try:
            self.collection.rewrite([id])
            return True
        except TransientError:
            raise
        except Exception as error:
            self._log_failure(id, error)
            return False

    def _log_failure(self, id: str, error: Exception) -> None:
        """Log why a document keeps its shape: the type alone, since the text of the error could hold its data."""
        reason = type(error).__name__
        log.error("document not rewritten", collection=self.collection.name, documentId=id, reason=reason)

    def record(self) -> Doc:
        """Return the state of the present pass, or of the last one."""
        name = self.collection.name
        while (found := records.get(name)) is None:
            try:
                records.insert(
                    {"_id": name, **_new_pass(0), "finishedAt": clock.timestamp(), "holder": "", "until": ""}
                )
            except Duplicate:  # another process was faster
                pass
        return found


def run(collections: Sequence[Collection], stop: threading.Event) -> None:
    """Migrate the collections whenever a pass is due, until `stop` is set."""
    migrations = [Migration(collection) for collection in collections]

    def migrate_due() -> float:
        for each in migrations:
            if each.is_due():
                each.hold()
                finish(each, stop.is_set)
        return POLL_S

    run_until(stop, migrate_due, "migration failed", max_backoff_s=POLL_S)


def finish(migration: Migration, is_stopped: Callable[[], bool] = lambda: False) -> Doc:
    """Run the pass that this process holds to its end, and log it; return its record."""
    while not is_stopped() and migration.step():
        pass
    record = migration.record()
    if record["finishedAt"] and (record["rewritten"] or record["failed"]):
        log.info(
            "migration pass finished",
            collection=record["_id"],
            version=record["version"],
            read=record["read"],
            rewritten=record["rewritten"],
            failed=record["failed"],
        )
    return record


def _new_pass(version: int) -> Doc:
    now = clock.timestamp()
    counts = {"read": 0, "rewritten": 0, "failed": 0}
    return {"version": version, "after": "", "startedAt": now, "finishedAt": "", **counts}
