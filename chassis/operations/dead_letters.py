"""The dead letters of one service, as an operator sees them."""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator

from chassis.errors import NotFound
from chassis.events import dead_letters
from chassis.operations import Row, ids_with_prefix
from chassis.store import Doc

_OF_DISCARDED = "type", "key", "attempts", "parkedAt", "discardedAt", "reason"


class DeadLetters:
    """The dead letters of the service with this name."""

    def __init__(self, service: str) -> None:
        self._service = service

    def parked(self) -> Iterator[Row]:
        """Yield the dead letters; `behind` is how many later events of the key wait behind one."""
        offsets: dict[tuple[str, str], list[int]] = defaultdict(list)
        for doc in dead_letters.collection.iterate():
            if doc["blocks"]:
                insort(offsets[doc["topic"], doc["key"]], doc["offset"])
        for doc in dead_letters.collection.iterate():
            blocked = offsets[doc["topic"], doc["key"]] if doc["blocks"] else []
            yield {
                "service": self._service,
                "id": doc["_id"],
                "type": doc["headers"].get("ce_type", ""),
                "key": doc["key"],
                "attempts": doc["attempts"],
                "behind": len(blocked) - bisect_right(blocked, doc["offset"]),
                "parkedAt": doc["parkedAt"],
                "reason": doc["reason"],
            }

    def discarded(self) -> Iterator[Row]:
        """Yield the dead letters that were discarded, with the reason of the operator."""
        for doc in dead_letters.discarded.iterate():
            yield {"service": self._service, "id": doc["_id"], **{name: doc[name] for name in _OF_DISCARDED}}

    def ids(self, prefix: str) -> list[str]:
        """Return the ids that begin with this text: see `ids_with_prefix`."""
        return ids_with_prefix(dead_letters.collection, prefix)

    def show(self, id: str) -> Row:
        """Return a dead letter as it is stored, with its event as text. Raises NotFound."""
        doc = _get(id)
        return {**doc, "value": dead_letters.to_record(doc).value.decode(errors="replace")}

    def redrive(self, key: str | None, is_dry_run: bool) -> Iterator[Row]:
        """Request that all dead letters, or those of one key, are handled again; yield each."""
        for doc in dead_letters.collection.iterate():
            if key is None or doc["key"] == key:
                if not is_dry_run:
                    dead_letters.request_redrive(doc)
                yield {"service": self._service, "id": doc["_id"], "key": doc["key"]}

    def discard(self, id: str, reason: str) -> tuple[str, int]:
        """Delete a dead letter for good; return its key, and how many events of that are still parked.

        Raises NotFound.
        """
        doc = _get(id)
        dead_letters.discard(doc, reason)
        behind = [each for each in dead_letters.of_key(doc["topic"], doc["key"]) if each["blocks"]]
        return doc["key"], len(behind)


def _get(id: str) -> Doc:
    doc = dead_letters.collection.get(id)
    if doc is None:
        raise NotFound("dead letter")
    return doc
