"""Blobs as files in a folder, by the first two characters of their names."""

import os
from pathlib import Path

from chassis import clock
from chassis.store import StoreUnavailable


class FolderBlobs:
    """Implements `chassis.blobs.BlobEngine`; several processes may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        unfinished = path.with_name(f".{name}.{clock.new_id()}")
        try:
            if path.exists():
                return
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with unfinished.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                unfinished.replace(path)
            finally:
                unfinished.unlink(missing_ok=True)
            for folder in (path.parent, self._folder):
                _sync(folder)
        except OSError as error:
            raise StoreUnavailable(f"the blob cannot be written: {error.strerror}") from error

    def get(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreUnavailable(f"the blob cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is open."""

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name


def _sync(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
