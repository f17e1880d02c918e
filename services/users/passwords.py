"""Passwords: what an account may choose, and argon2id with the low-memory parameters of OWASP to store it.

One password is hashed at a time, which bounds the memory. At most half of the request threads hash or wait for it, so
that a flood of passwords leaves the others to checkouts and signing keys.
"""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from pydantic import StringConstraints

from chassis.errors import InvalidInput, NotAttempted
from chassis.schema import SINGLE_LINE
from chassis.settings import settings
from services.users.addresses import email_key

MIN_CHARS, MAX_CHARS = 8, 128
Password = Annotated[str, StringConstraints(min_length=MIN_CHARS, max_length=MAX_CHARS), SINGLE_LINE]

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_lock = threading.Lock()
_DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$oM9Vx4zd4mJcYbQ2q5Qb9Z9eY0W1sJr3jYH3h1m1n0A"
_COMMON = Path(__file__).with_name("common_passwords.txt")


def require_acceptable(password: str, *addresses: str) -> None:
    """Check a new password of the account with these e-mail addresses.

    Raises InvalidInput: it is too short or too long, one of the most common, or the address or a part of it.
    """
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise InvalidInput(("password", f"must have {MIN_CHARS} to {MAX_CHARS} characters"))
    folded = _fold(password)
    if folded.strip() in _common_passwords():
        raise InvalidInput(("password", "is one of the most common passwords; choose another"))
    is_address = email_key(password) in map(email_key, addresses)
    if is_address or any(folded in address or address in folded for address in map(_fold, addresses)):
        raise InvalidInput(("password", "must not be the e-mail address or a part of it; choose another"))


def hash_password(password: str) -> str:
    """Return the hash to store. Raises NotAttempted if the queue is full."""
    with _turn():
        return _hasher.hash(unicodedata.normalize("NFC", password))


def matches(password: str, stored: str | None) -> bool:
    """Return whether a password has this hash; without a hash it takes as long and returns False.

    Raises NotAttempted if the queue is full.
    """
    with _turn():
        try:
            _hasher.verify(stored or _DUMMY_HASH, unicodedata.normalize("NFC", password))
        except (VerifyMismatchError, InvalidHashError):
            return False
    return stored is not None


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for the turn to hash. Raises NotAttempted at once if too many threads do."""
    places = _places()
    if not places.acquire(blocking=False):
        raise NotAttempted("too many passwords wait to be hashed", retry_after=1.0)
    try:
        with _lock:
            yield
    finally:
        places.release()


@cache
def _places() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, settings().threads // 2))


@cache
def _common_passwords() -> frozenset[str]:
    lines = _COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("# "))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
