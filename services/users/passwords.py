"""Passwords: what an account may choose, and argon2id with the low-memory parameters of OWASP to store it.

One thread hashes, which bounds the memory, and it yields the processor to all others. At most half of the request
threads wait for it, so that a flood of passwords leaves the others to checkouts and signing keys.
"""

import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, TypeVar

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
_NICENESS = 10
_making_queue = threading.Lock()
T = TypeVar("T")
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
    return _run(lambda: _hasher.hash(unicodedata.normalize("NFC", password)))


def matches(password: str, stored: str | None) -> bool:
    """Return whether a password has this hash; without a hash it takes as long and returns False.

    Raises NotAttempted if the queue is full.
    """
    try:
        _run(lambda: _hasher.verify(stored or _DUMMY_HASH, unicodedata.normalize("NFC", password)))
    except (VerifyMismatchError, InvalidHashError):
        return False
    return stored is not None


def _run(work: Callable[[], T]) -> T:
    """Run work in the thread that hashes. Raises NotAttempted at once if too many threads wait for it."""
    places, thread = _queue()
    if not places.acquire(blocking=False):
        raise NotAttempted("too many passwords wait to be hashed", retry_after=1.0)
    try:
        return thread.submit(work).result()
    finally:
        places.release()


def _queue() -> tuple[threading.BoundedSemaphore, ThreadPoolExecutor]:
    """Return the places of the queue and the thread that hashes, which all threads share."""
    with _making_queue:
        return _made_queue()


@cache
def _made_queue() -> tuple[threading.BoundedSemaphore, ThreadPoolExecutor]:
    """Make them at the first hash: after a fork."""
    places = threading.BoundedSemaphore(max(1, settings().threads // 2))
    return places, ThreadPoolExecutor(1, "hashing", initializer=_yield_to_others)


def _yield_to_others() -> None:
    with suppress(OSError):  # where a sandbox refuses it, hashing competes; a failed initializer would stop it for good
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)  # on Linux, that of this thread alone


@cache
def _common_passwords() -> frozenset[str]:
    lines = _COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("# "))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
