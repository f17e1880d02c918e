"""Sessions as refresh-token families: each token is used once, and a second use ends the family.

    {_id, userId, credentialsVersion, current, previous, createdAt, rotatedAt, ended, endReason, revocationPending, ...}

A family belongs to the credentials version of the account that the password was checked against. What ends a family
leaves `revocationPending`, until `services.users.access` has published that its access tokens are revoked.

A token is "<family>.<secret>"; the store keeps only hashes. The successor of a token is derived from it with the
platform's secret: a client that lost the response gets the same successor again within 10 s, and nobody stores it.
"""

import base64
import hashlib
from dataclasses import dataclass
from itertools import islice

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.keyed_hash import keyed_hashes
from chassis.store import Collection, Doc, Index
from services.users.security_events import SecurityEvent, record
from services.users.settings import settings

REUSE_GRACE_S = 10.0
"""Time in which a repeated refresh returns the same successor, in case the response was lost."""

MAX_DELETED_AT_ONCE = 1000
REUSED = "refresh_reuse"
"""The reason of the end of a family whose token was used a second time."""

refresh_token_families = Collection(
    "refresh_token_families",
    Index("userId", "ended"),
    Index("expiresAt"),
    Index("revocationPending", partial={"revocationPending": True}),
)


class SignedOut(DomainError, title="Unauthorized", category=ErrorCategory.UNAUTHENTICATED):
    """The refresh token belongs to no live session."""

    def __init__(self) -> None:
        super().__init__("Sign in again.")


@dataclass(frozen=True)
class Session:
    """A live session of a user, with its refresh token."""

    id: str
    user: str
    credentials_version: int
    token: str


def begin(user: str, credentials_version: int) -> Session:
    """Start a session: insert a family with its first token.

    `credentials_version` is that of the account which the password was checked against: if the credentials change
    meanwhile, the session is refused from its first use. Check it afterwards, and `discard` such a session.
    """
    family, secret, now = clock.new_id(), clock.entropy(32), clock.timestamp()
    refresh_token_families.insert(
        {
            "_id": family,
            "userId": user,
            "credentialsVersion": credentials_version,
            "createdAt": now,
            "current": _hash(secret),
            "previous": "",
            "rotatedAt": now,
            "ended": False,
            "endReason": "",
            "revocationPending": False,
            "expiresAt": clock.timestamp_in(settings().refresh_token),
        }
    )
    return Session(family, user, credentials_version, _token(family, secret))


def discard(session: Session) -> None:
    """Delete a session whose tokens nobody has got."""
    refresh_token_families.delete(session.id)


def rotate(token: str) -> Session:
    """Replace a token by its successor. A token used before ends its family. Raises SignedOut."""
    family, secret = _parts(token)
    used, successor = _hash(secret), _successors(secret)[0]
    rotated = refresh_token_families.update(
        family,
        {"$set": {"current": _hash(successor), "previous": used, "rotatedAt": clock.timestamp()}},
        when={"current": used, "ended": False, "expiresAt": {"$gt": clock.timestamp()}},
    )
    if rotated is not None:
        return _session(rotated, successor)
    doc = refresh_token_families.get(family)
    if doc is None or doc["ended"] or doc["expiresAt"] <= clock.timestamp():
        raise SignedOut
    response_lost = doc["previous"] == used and clock.seconds_since(doc["rotatedAt"]) <= REUSE_GRACE_S
    for candidate in _successors(secret) if response_lost else ():
        if doc["current"] == _hash(candidate):
            return _session(doc, candidate)
    if end(family, REUSED):
        record(SecurityEvent.REFRESH_TOKEN_REUSED, doc["userId"])
    raise SignedOut


def end(family: str, reason: str = "") -> bool:
    """End a family, and leave the revocation of its access tokens pending; return whether it was live."""
    ended = {"ended": True, "endReason": reason, "revocationPending": True}
    return refresh_token_families.update(family, {"$set": ended}, when={"ended": False}) is not None


def family_of(token: str) -> str:
    """Return the id of the family that a token is or was part of. Raises SignedOut for a token of none."""
    family, secret = _parts(token)
    doc = refresh_token_families.get(family)
    if doc is None or _hash(secret) not in (doc["current"], doc["previous"]):
        raise SignedOut
    return family


def is_live(family: str) -> bool:
    """Return whether a family has not ended."""
    doc = refresh_token_families.get(family)
    return doc is not None and not doc["ended"]


def end_all(user: str) -> None:
    """Delete every family of a user."""
    refresh_token_families.delete_all({"userId": user})


def delete_superseded(user: str, version: int) -> None:
    """Delete families with a lower credentials version than this one, whose tokens are refused.

    A request waits for it, so it reads a limited number of families; the others are deleted when they expire.
    """
    for doc in islice(refresh_token_families.iterate({"userId": user}), MAX_DELETED_AT_ONCE):
        if doc.get("credentialsVersion", 0) < version:
            refresh_token_families.delete(doc["_id"])


def delete_expired() -> None:
    """Delete the expired families."""
    refresh_token_families.delete_all({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt")


def _session(doc: Doc, secret: bytes) -> Session:
    return Session(doc["_id"], doc["userId"], doc.get("credentialsVersion", 0), _token(doc["_id"], secret))


def _parts(token: str) -> tuple[str, bytes]:
    family, _, text = token.partition(".")
    try:
        return family, base64.urlsafe_b64decode(text.encode("ascii") + b"=")
    except ValueError:
        raise SignedOut from None


def _token(family: str, secret: bytes) -> str:
    return f"{family}.{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def _hash(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()


def _successors(secret: bytes) -> list[bytes]:
    """Return the successor of a token under each accepted secret of the platform; the first becomes the next token."""
    return keyed_hashes(b"refresh" + secret)
