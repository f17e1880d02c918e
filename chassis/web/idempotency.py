"""Idempotency keys of clients: the record comes first, then the work, then the answer, kept for 24 hours.

    {_id, caller, about: "the id in the path", made: "the id of what will be made", print, until: "lease",
     status, body, headers, expiresAt}

A retry that finds the lease run out does the work again under the same `made`, so a unique `_id` makes it once.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from chassis import clock
from chassis.errors import Refusal
from chassis.settings import settings
from chassis.store import Change, Collection, Doc, Duplicate, Index
from chassis.web.problems import Problem
from chassis.web.response import Answer

LONGEST_KEY = 255
KEPT = 24 * 3600.0
REPLAYED = "Idempotent-Replayed"
"""The header of an answer that was given before."""

records = Collection("idempotency", Index("expiresAt"), Index("caller"), Index("about"), Index("made"))


@dataclass(frozen=True)
class Attempt:
    """`new_id` for what is made, `mark` for what is changed: both the same whenever the request is repeated."""

    new_id: str
    mark: str


def fresh() -> Attempt:
    """An attempt that no key ties to another."""
    return Attempt(clock.new_id(), clock.new_id())


def once(key: str, caller: str, operation: str, about: str, body: bytes, work: Callable[[Attempt], Answer]) -> Answer:
    """The answer of `work`, done once for this key of this caller; replayed where it is known.

    `about` is the object that the operation changes, "" where it makes one.
    Raises Problem 400 (key too long), Refusal -> 422 (another body), 409 (still running).
    """
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise Problem(400, f"Idempotency-Key has 1 to {LONGEST_KEY} printable characters.")
    secret = settings().platform_secret.get_secret_value().encode()
    id = hashlib.sha256(f"{caller}\n{operation}\n{key}".encode()).hexdigest()
    record = _claim(id, caller, about, hmac.new(secret, body, "sha256").hexdigest())
    if record["status"]:
        return _replayed(record)
    try:
        response = work(Attempt(record["made"], id))
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
    for where in ({"caller": person}, {"about": person}, {"made": person}):
        while found := records.find(where):
            for record in found:
                records.delete(record["_id"])


def sweep_records() -> None:
    """Drop the records whose time is over."""
    while found := records.find({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"):
        for record in found:
            records.delete(record["_id"])


def _claim(id: str, caller: str, about: str, print: str) -> Doc:
    record: Doc = {
        "_id": id,
        "caller": caller,
        "about": about,
        "made": clock.new_id(),
        "print": print,
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
        return _claim(id, caller, about, print)
    if not hmac.compare_digest(found["print"], print):
        raise Refusal("key_reused", "Key used before", "This Idempotency-Key came with another body; take a new one.")
    if found["status"]:
        return found
    if found["until"] > clock.timestamp():
        raise Refusal("key_in_use", "Still running", "The first request with this Idempotency-Key has not ended.")
    claim: Change = {"$set": {"until": clock.timestamp_in(settings().lease)}, "$inc": {"fence": 1}}
    claimed = records.update(id, claim, when={"fence": found["fence"]})
    if claimed is None:
        raise Refusal("key_in_use", "Still running", "The first request with this Idempotency-Key has not ended.")
    return claimed


def _replayed(record: Doc) -> Answer:
    return Answer(record["body"], record["status"], {**record["headers"], REPLAYED: "true"})


def _overtaken(id: str, response: Answer) -> Answer:
    """The one answer of a key whose work outlasted its lease and was taken over; this one if its user was erased."""
    record = records.get(id)
    if record is None:
        return response
    if not record["status"]:
        raise Refusal("key_in_use", "Still running", "Another request with this Idempotency-Key has not ended.")
    return _replayed(record)


def _release(record: Doc) -> None:
    """Let a retry begin at once."""
    records.update(record["_id"], {"$set": {"until": clock.timestamp()}}, when={"fence": record["fence"]})
