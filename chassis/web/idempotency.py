"""Idempotency keys of clients: first the record, then the work, then the response, which is kept for 24 hours.

    {_id, caller, subjectId: "the id in the path", createdId: "the id of what the request creates", bodyHash,
     secretId: "the secret of bodyHash", until: "end of the lease", fence, status, body, headers, expiresAt}

A retry that finds an expired lease does the work again under the same `createdId`, so that a unique `_id` creates
the object once.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.keyed_hash import keyed_hash, keyed_hashes, secret_ids
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate, Index, Update
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

MAX_KEY_CHARS = 255
KEPT_S = 24 * 3600.0
REPLAYED = "Idempotent-Replayed"
"""Header of a response that was sent before."""

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
    """Return an attempt for a request without a key."""
    return Attempt(clock.new_id(), clock.new_id())


def run_once(
    key: str, caller: str, operation: str, subject_id: str, body: bytes, work: Callable[[Attempt], WsgiResponse]
) -> WsgiResponse:
    """Do `work` once for this key of this caller and return its response; replay it if it is known.

    `subject_id` is the object that the operation changes, "" if it creates one.
    Raises: Problem 400 (key too long), KeyReused, KeyInUse.
    """
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise Problem(400, f"Idempotency-Key has 1 to {MAX_KEY_CHARS} printable characters.")
    id = hashlib.sha256(f"{caller}\n{operation}\n{key}".encode()).hexdigest()
    record = _claim(id, caller, subject_id, body)
    if record["status"]:
        return _replay(record)
    try:
        response = work(Attempt(record["createdId"], id))
    except BaseException:
        _release(record)
        raise
    if response.status_code >= 500 or response.status_code in (401, 429):
        _release(record)
    else:
        result = {
            "status": response.status_code,
            "body": response.get_data(as_text=True),
            "headers": {
                name: value for name, value in response.headers if name in ("Content-Type", "Location", "ETag")
            },
        }
        if not records.update(id, {"$set": result}, when={"fence": record["fence"]}):
            return _superseded(id, response)
    return response


def forget(user_id: str) -> None:
    """Delete every record of the requests that this user made, or that were about the user."""
    for where in ({"caller": user_id}, {"subjectId": user_id}, {"createdId": user_id}):
        while found := records.find(where):
            for record in found:
                records.delete(record["_id"])


def delete_expired_records() -> None:
    """Delete the expired records."""
    while found := records.find({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"):
        for record in found:
            records.delete(record["_id"])


def _claim(id: str, caller: str, subject_id: str, body: bytes) -> Doc:
    record: Doc = {
        "_id": id,
        "caller": caller,
        "subjectId": subject_id,
        "createdId": clock.new_id(),
        "bodyHash": keyed_hash(body).hex(),  # the body may hold a password
        "secretId": secret_ids()[0],
        "until": clock.timestamp_in(settings().lease),
        "fence": 1,
        "status": 0,
        "body": "",
        "headers": {},
        "expiresAt": clock.timestamp_in(KEPT_S),
    }
    try:
        records.insert(record)
        return record
    except Duplicate:
        pass
    found = records.get(id)
    if found is None or found["expiresAt"] < clock.timestamp():
        records.delete(id, when={"expiresAt": {"$lt": clock.timestamp()}})
        return _claim(id, caller, subject_id, body)
    if not _is_same_body(found, body):
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


def _is_same_body(record: Doc, body: bytes) -> bool:
    """Compare the body with that of the record.

    Where the secret of the record is no longer accepted, nothing can be compared and the body counts as the same: after
    a KeyReused, the client would take a new key and repeat what was done.
    """
    hashes = dict(zip(secret_ids(), (digest.hex() for digest in keyed_hashes(body)), strict=True))
    secret_id = record.get("secretId")
    if secret_id is None:  # of release 0.2.0
        return any(hmac.compare_digest(record["bodyHash"], each) for each in hashes.values())
    return secret_id not in hashes or hmac.compare_digest(record["bodyHash"], hashes[secret_id])


def _replay(record: Doc) -> WsgiResponse:
    return WsgiResponse(record["body"], record["status"], {**record["headers"], REPLAYED: "true"})


def _superseded(id: str, response: WsgiResponse) -> WsgiResponse:
    """Return the response of the request that took over after our lease; our own if its user was erased meanwhile."""
    record = records.get(id)
    if record is None:
        return response
    if not record["status"]:
        raise KeyInUse("Another")
    return _replay(record)


def _release(record: Doc) -> None:
    """Let a retry start at once."""
    records.update(record["_id"], {"$set": {"until": clock.timestamp()}}, when={"fence": record["fence"]})
