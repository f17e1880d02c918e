"""Passwords: argon2id with OWASP's low-memory parameters, one at a time so that sign-ins cannot fill the memory."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_one = threading.Lock()
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$oM9Vx4zd4mJcYbQ2q5Qb9Z9eY0W1sJr3jYH3h1m1n0A"


def hashed(password: str) -> str:
    """The hash to keep."""
    with _one:
        return _hasher.hash(unicodedata.normalize("NFC", password))


def matches(password: str, kept: str | None) -> bool:
    """Whether this is the password; takes as long where there is nobody to compare with."""
    with _one:
        try:
            _hasher.verify(kept or _NOBODY, unicodedata.normalize("NFC", password))
        except (VerifyMismatchError, InvalidHashError):
            return False
    return kept is not None
