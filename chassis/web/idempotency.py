"""Idempotency keys of clients: the record comes first, then the work, then the answer, kept for 24 hours.

    {_id, caller, subjectId: "the id in the path", createdId: "the id of what the request creates", bodyHash,
     until: "end of the lease", fence, status, body, headers, expiresAt}

A retry that finds an expired lease does the work again under the same `createdId`, so that a unique `_id` creates
the object once.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate, Index, Update
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

LONGEST_KEY = 255
KEPT = 24 * 3600.0
REPLAYED = "Idempotent-Replayed"
"""The header of an answer that was given before."""

records = Collection("idempotency", Index("expiresAt"), Index("caller"), Index("subjectId"), Index("createdId"))


class KeyReused(DomainError, title="Key used before", category=ErrorCategory.INVALID):
    """The key came with another body before."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key came with another body; take a new one.")


class KeyInUse(DomainError, title="Still running"):
    """A request with this key is still running."""

    def __init__(self, which: str = "The first") -> None:
        super().__init__(f"{which} request with this Idempotency-Key has not ended.")


@dataclass(frozen=True)
class Attempt:
    """One request. Its retries get the same `created_id` (for a new object) and `dedup_key` (for a change)."""

    created_id: str
    dedup_key: str


def without_key() -> Attempt:
    """An attempt that no key ties to another."""
    return Attempt(clock.new_id(), clock.new_id())


def run_once(
    key: str, caller: str, operation: str, subject_id: str, body: bytes, work: Callable[[Attempt], WsgiResponse]
) -> WsgiResponse:
    """The answer of `work`, done once for this key of this caller; replayed where it is known.

    `subject_id` is the object that the operation changes, "" where it makes one.
    Raises: Problem 400 (key too long), KeyReused, KeyInUse.
    """
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise Problem(400, f"Idempotency-Key has 1 to {LONGEST_KEY} printable characters.")
    secret = settings().platform_secret.get_secret_value().encode()
    id = hashlib.sha256(f"{caller}\n{operation}\n{key}".encode()).hexdigest()
    record = _claim(id, caller, subject_id, hmac.new(secret, body, "sha256").hexdigest())
    if record["status"]:
        return _replayed(record)
    try:
        response = work(Attempt(record["createdId"], id))
    except BaseException:
        _release(record)
        raise
    if response.status_code >= 500 or response.status_code in (401, 429):
        _release(record)
    else:
        answer = {
            "status": response.status_code,
            "body": response.get_data(as_text=True),
            "headers": {
                name: value for name, value in response.headers if name in ("Content-Type", "Location", "ETag")
            },
        }
        if not records.update(id, {"$set": answer}, when={"fence": record["fence"]}):
            return _overtaken(id, response)
    return response


def forget(person: str) -> None:
    """Drop every record that was made by or about this user."""
    for where in ({"caller": person}, {"subjectId": person}, {"createdId": person}):
        while found := records.find(where):
            for record in found:
                records.delete(record["_id"])


def sweep_records() -> None:
    """Drop the records whose time is over."""
    while found := records.find({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"):
        for record in found:
            records.delete(record["_id"])


def _claim(id: str, caller: str, subject_id: str, body_hash: str) -> Doc:
    record: Doc = {
        "_id": id,
        "caller": caller,
        "subjectId": subject_id,
        "createdId": clock.new_id(),
        "bodyHash": body_hash,
        "until": clock.timestamp_in(settings().lease),
        "fence": 1,
        "status": 0,
        "body": "",
        "headers": {},
        "expiresAt": clock.timestamp_in(KEPT),
    }
    try:
        records.insert(record)
        return record
    except Duplicate:
        pass
    found = records.get(id)
    if found is None or found["expiresAt"] < clock.timestamp():
        records.delete(id, when={"expiresAt": {"$lt": clock.timestamp()}})
        return _claim(id, caller, subject_id, body_hash)
    if not hmac.compare_digest(found["bodyHash"], body_hash):
        raise KeyReused
    if found["status"]:
        return found
    if found["until"] > clock.timestamp():
        raise KeyInUse
    claim: Update = {"$set": {"until": clock.timestamp_in(settings().lease)}, "$inc": {"fence": 1}}
    claimed = records.update(id, claim, when={"fence": found["fence"]})
    if claimed is None:
        raise KeyInUse
    return claimed


def _replayed(record: Doc) -> WsgiResponse:
    return WsgiResponse(record["body"], record["status"], {**record["headers"], REPLAYED: "true"})


def _overtaken(id: str, response: WsgiResponse) -> WsgiResponse:
    """The one answer of a key whose work outlasted its lease and was taken over; this one if its user was erased."""
    record = records.get(id)
    if record is None:
        return response
    if not record["status"]:
        raise KeyInUse("Another")
    return _replayed(record)


def _release(record: Doc) -> None:
    """Let a retry begin at once."""
    records.update(record["_id"], {"$set": {"until": clock.timestamp()}}, when={"fence": record["fence"]})
