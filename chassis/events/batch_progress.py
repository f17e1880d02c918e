"""The progress of consumers within their batches, which identifies a record that repeatedly kills its process.

    {_id: "topic:partition", first, last, current, attempts, holder, holders, unattributed, handled}

A consumer saves each batch before it handles it: its first and last offset, and itself (`holder`). If an earlier
consumer did not finish the batch, it also saves the offset of each record that it begins (`current`), and itself
(`holders`). A holder that is no longer alive died at that record. During a long batch, the holder renews a document
that says that it is alive. A consumer that leaves a batch alive, by a rebalance, an outage or a shutdown, removes
itself.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress

from chassis import clock
from chassis.bus import Partition, Record
from chassis.errors import TransientError
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate

progress = Collection("consumer_progress")

_ALIVE_SHARE, _RENEWALS = 0.5, 3
"""A holder counts as alive for this share of a lease, and renews it three times within that time."""


class BatchProgress:
    """The progress of one consumer. One thread uses it, besides `keep_alive`."""

    def __init__(self) -> None:
        self._holder = clock.new_id()
        self._saved: dict[Partition, Doc] = {}
        self._unfinished: dict[Partition, int] = {}
        """The last offset of a batch that an earlier consumer did not finish."""
        self._begun: dict[Partition, float] = {}
        """When this consumer began the batches that it has not ended."""

    def forget(self) -> None:
        """Forget what is saved: other consumers may have changed it."""
        self._saved.clear()
        self._unfinished.clear()

    def begin_batch(self, partition: Partition, batch: Sequence[Record]) -> int:
        """Save that this consumer handles the batch; return the last offset that another one has handled, or -1."""
        self._begun[partition] = clock.monotonic()
        id, first, last = _id(partition), batch[0].offset, batch[-1].offset
        saved = self._saved.get(partition)
        if saved is None and (saved := progress.get(id)) is not None and saved["first"] <= first <= saved["last"]:
            self._unfinished[partition] = saved["last"]
            if saved["current"] < 0:  # the record at which its holder died is unknown
                saved = {**saved, "unattributed": [saved.get("holder", "")]}
        if first > self._unfinished.get(partition, -1):
            self._unfinished.pop(partition, None)
        fields: Doc = {"first": first, "last": max(last, self._unfinished.get(partition, -1))}
        if partition in self._unfinished:
            fields["unattributed"] = (saved or {}).get("unattributed", [])
        else:
            fields |= {"current": -1, "attempts": 0, "holder": self._holder, "holders": [], "unattributed": []}
        if saved is not None and first < saved["first"]:  # the offsets were reset, or the topic is a new one
            fields["handled"] = -1
        self._saved[partition] = self._write(id, fields)
        return int(self._saved[partition].get("handled", -1))

    def is_unfinished(self, record: Record) -> bool:
        """Return whether the record lies in a batch that an earlier consumer did not finish."""
        return record.offset <= self._unfinished.get((record.topic, record.partition), -1)

    def begin_record(self, record: Record) -> int:
        """Save that this consumer begins the record, if an earlier one did not finish its batch.

        Return how many consumers have died at it.
        """
        if not self.is_unfinished(record):
            return 0
        partition = record.topic, record.partition
        saved = self._saved[partition]
        if saved["current"] == record.offset:
            holders = saved.get("holders", [""] * saved["attempts"])  # 0.2.0 stored only their number
        else:
            holders = saved.get("unattributed", [])
        others = [holder for holder in holders if holder != self._holder]
        deaths = sum(not _is_alive(holder) for holder in others)
        fields = {"current": record.offset, "attempts": deaths + 1, "holders": [*others, self._holder]}
        if saved["current"] != record.offset or self._holder not in holders:
            self._saved[partition] = self._write(saved["_id"], fields)
        return deaths

    def attribute_deaths(self, partition: Partition) -> None:
        """Attribute the deaths in a batch to the current record, so that they do not count against the next ones."""
        self._saved[partition] = self._write(_id(partition), {"unattributed": []})

    def end_batch(self, partition: Partition) -> None:
        """Forget a batch whose offsets are committed."""
        self._begun.pop(partition, None)

    def leave_batch(self, partition: Partition, handled: int = -1) -> None:
        """Record that this consumer leaves a batch alive, and has handled its records up to this offset.

        The next consumer of the batch counts no death at a record, and does not handle these again.
        """
        id = _id(partition)
        progress.update(id, {"$pull": {"holders": self._holder, "unattributed": self._holder}})
        progress.update(id, {"$set": {"last": -1}}, when={"holder": self._holder, "current": -1})
        saved = progress.get(id)
        if saved is not None and handled > saved.get("handled", -1):
            progress.update(id, {"$set": {"handled": handled}})
        self._begun.pop(partition, None)

    def close(self) -> None:
        """Leave all batches alive, when the consumer stops. Raises StoreUnavailable."""
        for partition in list(self._begun):
            self.leave_batch(partition)
        progress.delete(_alive_id(self._holder))

    def keep_alive(self, stop: threading.Event) -> None:
        """Until `stop` is set, tell other consumers that this one is alive, while a batch takes long."""
        interval_s = settings().lease * _ALIVE_SHARE / _RENEWALS
        while not stop.wait(interval_s):
            if any(clock.monotonic() - began >= interval_s for began in list(self._begun.values())):
                with suppress(TransientError):  # the work itself logs it
                    self.renew_alive()

    def renew_alive(self) -> None:
        """Count as alive for half of a lease from now on."""
        self._write(_alive_id(self._holder), {"until": clock.timestamp_in(settings().lease * _ALIVE_SHARE)})

    @staticmethod
    def _write(id: str, fields: Doc) -> Doc:
        if (saved := progress.update(id, {"$set": fields})) is not None:
            return saved
        new = {"_id": id, "current": -1, "attempts": 0, **fields}
        with suppress(Duplicate):
            progress.insert(new)
            return new
        return progress.update(id, {"$set": fields}) or new


def _id(partition: Partition) -> str:
    return f"{partition[0]}:{partition[1]}"


def _alive_id(holder: str) -> str:
    return f"alive:{holder}"


def _is_alive(holder: str) -> bool:
    doc = progress.get(_alive_id(holder)) if holder else None
    if doc is not None and doc["until"] <= clock.timestamp():
        progress.delete(doc["_id"], when={"until": doc["until"]})
        return False
    return doc is not None
