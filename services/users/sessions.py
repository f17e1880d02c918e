"""Sessions as refresh-token families: each token is used once, and a second use ends the family.

A token is "<family>.<secret>"; the store keeps only hashes. The successor of a token is derived from it with the
platform's secret: a client that lost the response gets the same successor again within 10 s, and nobody stores it.
"""

import base64
import hashlib
from dataclasses import dataclass

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.keyed_hash import keyed_hashes
from chassis.store import Collection, Index
from services.users.security_events import SecurityEvent, record
from services.users.settings import settings

REUSE_GRACE_S = 10.0
"""Time in which a repeated refresh returns the same successor, in case the response was lost."""

refresh_token_families = Collection("refresh_token_families", Index("userId"), Index("expiresAt"))


class SignedOut(DomainError, title="Unauthorized", category=ErrorCategory.UNAUTHENTICATED):
    """The refresh token belongs to no live session."""

    def __init__(self) -> None:
        super().__init__("Sign in again.")


@dataclass(frozen=True)
class Session:
    """A user's live refresh token."""

    user: str
    token: str


def begin(user: str) -> Session:
    """Start a session: insert a family with its first token."""
    family, secret = clock.new_id(), clock.entropy(32)
    refresh_token_families.insert(
        {
            "_id": family,
            "userId": user,
            "current": _hash(secret),
            "previous": "",
            "rotatedAt": clock.timestamp(),
            "ended": False,
            "expiresAt": clock.timestamp_in(settings().refresh_token),
        }
    )
    return Session(user, _token(family, secret))


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
        return Session(rotated["userId"], _token(family, successor))
    doc = refresh_token_families.get(family)
    if doc is None or doc["ended"] or doc["expiresAt"] <= clock.timestamp():
        raise SignedOut
    response_lost = doc["previous"] == used and clock.seconds_since(doc["rotatedAt"]) <= REUSE_GRACE_S
    for candidate in _successors(secret) if response_lost else ():
        if doc["current"] == _hash(candidate):
            return Session(doc["userId"], _token(family, candidate))
    if refresh_token_families.update(family, {"$set": {"ended": True}}, when={"ended": False}):
        record(SecurityEvent.REFRESH_TOKEN_REUSED, doc["userId"])
    raise SignedOut


def end(token: str) -> None:
    """Sign out: end the family of a token; may be repeated. Raises SignedOut for a token of no family."""
    family, secret = _parts(token)
    used = _hash(secret)
    for field in ("current", "previous"):
        if refresh_token_families.update(family, {"$set": {"ended": True}}, when={field: used}):
            return
    raise SignedOut


def end_all(user: str) -> None:
    """Delete every family of a user."""
    while found := refresh_token_families.find({"userId": user}):
        for doc in found:
            refresh_token_families.delete(doc["_id"])


def delete_superseded(user: str, version: int) -> None:
    """Delete the families with a lower credentials version than this one; they are of no use anymore."""
    for doc in refresh_token_families.iterate({"userId": user}):
        if doc.get("credentialsVersion", 0) < version:
            refresh_token_families.delete(doc["_id"])


def delete_expired() -> None:
    """Delete the expired families."""
    while found := refresh_token_families.find({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt"):
        for doc in found:
            refresh_token_families.delete(doc["_id"])


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
