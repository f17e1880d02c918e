"""Blobs: immutable files of a service, such as pictures, by names that are made from their content.

    pictures = Blobs()
    service.stores_blobs(pictures)
    pictures.put("5f3c…-640.webp", data)        # again: nothing changes
    pictures.get("5f3c…-640.webp")

They are files in `DATA_DIR` by default, and in GridFS where `MONGODB_URI` is set.
"""

import re
from typing import Protocol

__all__ = ["BlobEngine", "Blobs"]

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")


class BlobEngine(Protocol):
    """What an engine does. Raises StoreUnavailable if it cannot."""

    def put(self, name: str, data: bytes) -> None:
        """Store a blob durably, unless there is one with this name. A reader sees all of it or nothing."""

    def get(self, name: str) -> bytes | None:
        """Return a blob, or None if there is none."""

    def close(self) -> None: ...


class Blobs:
    """The blobs of one service. Raises StoreUnavailable if they cannot be reached."""

    _engine: BlobEngine

    def attach(self, engine: BlobEngine) -> "Blobs":
        """Use this engine."""
        self._engine = engine
        return self

    def put(self, name: str, data: bytes) -> None:
        """Store a blob durably, unless there is one with this name."""
        self._engine.put(_checked(name), data)

    def get(self, name: str) -> bytes | None:
        """Return a blob, or None if there is none."""
        return self._engine.get(_checked(name))


def _checked(name: str) -> str:
    """Return a name that is safe as that of a file. Raises ValueError: names are made by the program."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:40]!r} cannot be the name of a blob")
    return name
