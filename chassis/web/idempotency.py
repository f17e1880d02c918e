"""Idempotency keys of clients: first the record, then the work, then the response, which is kept for 24 hours.

    {_id, caller, subjectId: "the id in the path", createdId: "the id of what the request creates", bodyHash,
     secretId: "the secret of bodyHash", until: "end of the lease", fence, bytes: "its size", expiresAt,
     response: {status, headers, packedBody: "compressed, in Base64; None: too large, and read again"}}

A retry that finds an expired lease does the work again under the same `createdId`, so that a unique `_id` creates
the object once. A 4xx that names no created object changed nothing: its record is deleted, and the key is free again.

Release 0.2.0 kept `status`, `body` and `headers` in the record itself. `status` stays 0 now, and the lease of a kept
response lasts as long as its record, so that a process of that release answers that the request is still running.
"""

import base64
import hashlib
import hmac
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.keyed_hash import keyed_hash, keyed_hashes, secret_ids
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate, Index, Update
from chassis.web.limits import RateLimited
from chassis.web.problems import Problem
from chassis.web.response import WsgiResponse

MAX_KEY_CHARS = 255
KEPT_S = 24 * 3600.0
MAX_BODY_BYTES = 8 * 1024
"""Size of a stored body, compressed."""
MAX_RECORDS, MAX_BYTES = 2_000, 4 * 1024 * 1024
"""What a caller may keep: an administrator more, and records of release 0.2.0 do not count.

Requests at the same moment may exceed it by one record each.
"""
_RECORD_BYTES = 512  # a record without its response
_FULL_RETRY_S = 600  # records expire one by one
_FULL = (
    f"You have {MAX_RECORDS} Idempotency-Keys in use, or as much as fits; each is free after 24 hours. "
    "Keep the key of this request, wait, and send it again."
)
REPLAYED = "Idempotent-Replayed"
"""Header of a response that was sent before."""

records = Collection(
    "idempotency",
    Index("expiresAt"),
    Index("caller"),  # that of release 0.2.0, whose processes need it while both run
    Index("caller", "bytes"),
    Index("subjectId"),
    Index("createdId"),
)

ReadAgain = Callable[[str], WsgiResponse]
"""Reads the object of a request again; gets the `Location` of its response, "" if it had none."""


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
    key: str,
    caller: str,
    operation: str,
    subject_id: str,
    body: bytes,
    work: Callable[[Attempt], WsgiResponse],
    read_again: ReadAgain,
    is_unbounded: Callable[[], bool] = lambda: False,
) -> WsgiResponse:
    """Do `work` once for this key of this caller and return its response; replay it if it is known.

    `subject_id` is the object that the operation changes, "" if it creates one. A body that is too large to be kept is
    replayed by `read_again`. `is_unbounded` is asked only if the caller keeps as much as others may.
    Raises: Problem 400 (key too long), RateLimited (too many records), KeyReused, KeyInUse, what `is_unbounded` raises.
    """
    if not key or len(key) > MAX_KEY_CHARS or not key.isprintable():
        raise Problem(400, f"Idempotency-Key has 1 to {MAX_KEY_CHARS} printable characters.")
    id = hashlib.sha256(f"{caller}\n{operation}\n{key}".encode()).hexdigest()
    if _is_full(caller) and records.get(id) is None and not is_unbounded():
        raise RateLimited(429, _FULL, headers={"Retry-After": str(_FULL_RETRY_S)})
    record = _claim(id, caller, subject_id, body)
    if _is_known(record):
        return _replay(record, read_again)
    try:
        response = work(Attempt(record["createdId"], id))
    except BaseException:
        _release(record)
        raise
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _release(record)
    elif not (_free(record) if _changed_nothing(record, response) else _keep(record, response)):
        return _superseded(record, response, read_again)
    return response


def _is_known(record: Doc) -> bool:
    """Return whether a record holds the response of its request."""
    return bool(record["status"]) or record.get("response") is not None


def forget(user_id: str) -> None:
    """Delete every record of the requests that this user made, or that were about the user."""
    for where in ({"caller": user_id}, {"subjectId": user_id}, {"createdId": user_id}):
        records.delete_all(where)


def delete_expired_records() -> None:
    """Delete the expired records."""
    records.delete_all({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt")


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
        "bytes": _RECORD_BYTES,
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
    if _is_known(found):
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


def _is_full(caller: str) -> bool:
    if settings().rate_limits == "off":
        return False
    where = {"caller": caller, "bytes": {"$gt": 0}}
    return records.count(where) >= MAX_RECORDS or records.sum("bytes", where) >= MAX_BYTES


def _changed_nothing(record: Doc, response: WsgiResponse) -> bool:
    """Return whether a response is an error that names nothing which the request created, as a rejected order is."""
    return response.status_code >= HTTPStatus.BAD_REQUEST and record["createdId"].encode() not in response.get_data()


def _keep(record: Doc, response: WsgiResponse) -> bool:
    """Store the response; return whether the lease is still ours."""
    body = base64.b64encode(zlib.compress(response.get_data())).decode()
    packed = body if len(body) <= MAX_BODY_BYTES else None
    headers = {name: value for name, value in response.headers if name in ("Content-Type", "Location", "ETag")}
    kept = {"status": response.status_code, "headers": headers, "packedBody": packed}
    size = _RECORD_BYTES + len(str(headers)) + len(packed or "")
    update = {"$set": {"response": kept, "bytes": size, "until": record["expiresAt"]}}
    return records.update(record["_id"], update, when={"fence": record["fence"]}) is not None


def _free(record: Doc) -> bool:
    """Delete the record; return whether the lease is still ours. An earlier attempt may have changed something."""
    if record["fence"] > 1:
        return _release(record)
    return records.delete(record["_id"], when={"fence": record["fence"]})


def _replay(record: Doc, read_again: ReadAgain) -> WsgiResponse:
    kept = record.get("response")
    if kept is None:  # of release 0.2.0
        return WsgiResponse(record["body"], record["status"], {**record["headers"], REPLAYED: "true"})
    if kept["packedBody"] is None:
        location = kept["headers"].get("Location", "")
        response = read_again(location)
        response.status_code = kept["status"]
        if location:
            response.headers["Location"] = location
        response.headers[REPLAYED] = "true"
        return response
    body = zlib.decompress(base64.b64decode(kept["packedBody"]))
    return WsgiResponse(body, kept["status"], {**kept["headers"], REPLAYED: "true"})


def _superseded(record: Doc, response: WsgiResponse, read_again: ReadAgain) -> WsgiResponse:
    """Return the response of the request that took over after our lease; our own if its user was erased meanwhile."""
    current = records.get(record["_id"])
    if current is None:
        return response
    if not _is_known(current):
        raise KeyInUse("Another")
    return _replay(current, read_again)


def _release(record: Doc) -> bool:
    """Let a retry start at once; return whether the lease is still ours."""
    update = {"$set": {"until": clock.timestamp()}}
    return records.update(record["_id"], update, when={"fence": record["fence"]}) is not None
