"""Keyed hashes (HMAC-SHA-256) under the platform's secret, which an operator replaces while the platform runs.

What is stored or given to a client outlives the process that made it. It is therefore compared with the hash under each
accepted secret, never with that under the present one alone. See docs/operations/secrets.md.
"""

import hmac

from chassis.settings import settings

_ID_BYTES = 4


def keyed_hash(data: bytes) -> bytes:
    """Return the hash under the secret that signs."""
    return keyed_hashes(data)[0]


def keyed_hashes(data: bytes) -> list[bytes]:
    """Return the hash under each accepted secret; the first of them signs."""
    return [hmac.digest(secret.encode(), data, "sha256") for secret in settings().platform_secrets]


def secret_ids() -> list[str]:
    """Return a short id of each accepted secret, in the same order, to be stored beside a hash."""
    return [digest[:_ID_BYTES].hex() for digest in keyed_hashes(b"id of this secret")]
