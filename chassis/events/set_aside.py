"""Entries that are set aside: a relay or a job failed at them three times, and continues with the others.

    {_id: "<source>:<id>", source: "accounts" or "send_mail", id, reason, attempts, at}

A source is an outbox, by the name of its collection, or a job. An entry stays until an operator runs
`mercato outbox --retry`. A TransientError sets no entry aside.

    returns = SetAside("return_cancelled_units")
    returns.work_through(reservations, {"returnPending": True}, return_units)
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress

from chassis import clock
from chassis.errors import TransientError
from chassis.events.handlers import describe
from chassis.observe import metrics
from chassis.observe.log import log
from chassis.observe.throttled import Throttled
from chassis.store import Collection, Doc, Duplicate, Filter, Index, StoreUnavailable, cursor_after

MAX_ATTEMPTS = 3
_PAGE_SIZE = 100
_MAX_REASON = 1000  # characters

entries = Collection("set_aside", Index("source"))


class SetAside:
    """The entries that one source has set aside, and the failures of its other entries in this process."""

    def __init__(self, source: str) -> None:
        self._source, self._failures = source, dict[str, int]()
        self.export = Throttled(self._export)

    def ids(self) -> set[str]:
        """Return the ids of the entries that are set aside; none if this process does not store any."""
        if not entries.is_attached:
            return set()
        return {entry["id"] for entry in entries.iterate({"source": self._source})}

    def succeeded(self, id: str) -> None:
        """Forget the failures of an entry."""
        self._failures.pop(id, None)

    def failed(self, id: str, error: Exception) -> bool:
        """Count a failure of an entry; return whether it is set aside now, because it is the third."""
        failures = self._failures[id] = self._failures.get(id, 0) + 1
        if failures < MAX_ATTEMPTS:
            log.error("entry failed; retrying", source=self._source, entry=id, attempts=failures, error=error)
            return False
        reason = describe(error).replace("\0", "").encode(errors="replace").decode()[:_MAX_REASON]
        entry = {"source": self._source, "id": id, "reason": reason, "attempts": failures, "at": clock.timestamp()}
        self._store(f"{self._source}:{id}", entry)
        log.error("entry set aside; others go on", source=self._source, entry=id, attempts=failures, error=error)
        self._failures.pop(id)
        return True

    @staticmethod
    def _store(id: str, entry: Doc) -> None:
        """Insert an entry, or replace an earlier one. A retry of the earlier one does not delete it: `at` differs."""
        while entries.update(id, {"$set": entry}) is None:
            with suppress(Duplicate):  # another process was faster
                entries.insert({"_id": id, **entry})
                return

    def work_through(
        self,
        collection: Collection,
        where: Filter,
        work: Callable[[Doc], object],
        sort: str = "_id",
        limit: float = math.inf,
    ) -> int:
        """Call `work` for each matching document that is not set aside, in the order of the field `sort`.

        Continues after an error: after a TransientError, the next call tries the document again; any other error counts
        as a failure. Stops after `limit` documents; returns how many there were. Raises StoreUnavailable.
        """
        left_out: set[str] | None = None
        done = 0
        for page in _pages(collection, where, sort):
            left_out = self.ids() if left_out is None else left_out
            for doc in page:
                if doc["_id"] not in left_out and done < limit:
                    self._attempt(doc, work)
                    done += 1
            if done >= limit:
                break
        self.export()
        return done

    def _attempt(self, doc: Doc, work: Callable[[Doc], object]) -> None:
        try:
            work(doc)
        except StoreUnavailable:
            raise
        except TransientError as error:
            log.warning("entry failed; retrying", source=self._source, entry=doc["_id"], error=error)
        except Exception as error:
            self.failed(doc["_id"], error)
        else:
            self.succeeded(doc["_id"])

    def _export(self) -> None:
        count = entries.count({"source": self._source}) if entries.is_attached else 0
        metrics.set_aside[self._source].set(count)


def _pages(collection: Collection, where: Filter, sort: str) -> Iterator[list[Doc]]:
    after = None
    while page := collection.find(where, sort=sort, limit=_PAGE_SIZE, after=after):
        yield page
        after = cursor_after(page, sort)
