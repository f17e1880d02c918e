"""Password hashing: argon2id with the low-memory parameters of OWASP, one at a time to bound the memory."""

import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_lock = threading.Lock()
_DUMMY_HASH = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$oM9Vx4zd4mJcYbQ2q5Qb9Z9eY0W1sJr3jYH3h1m1n0A"


def hash_password(password: str) -> str:
    """Return the hash to store."""
    with _lock:
        return _hasher.hash(unicodedata.normalize("NFC", password))


def matches(password: str, stored: str | None) -> bool:
    """Return whether a password has this hash; without a hash it takes as long and returns False."""
    with _lock:
        try:
            _hasher.verify(stored or _DUMMY_HASH, unicodedata.normalize("NFC", password))
        except (VerifyMismatchError, InvalidHashError):
            return False
    return stored is not None
