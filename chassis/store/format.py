"""The format of the stored data, recorded in each store, so that a release never works on data it cannot read.

storage_format   {_id: "format", version: 2}
"""

from typing import Any

from chassis.settings import PLATFORM
from chassis.store import Collection, Duplicate, Store, StoreUnavailable

VERSION = 2
"""The format that this release reads and writes. Raise it when stored fields or collections change their names."""

_ID = "format"


class CheckedStore:
    """A store that checks its format before its first operation, so that a process can serve before it is prepared.

    Rejects every operation with StoreUnavailable while the store is unavailable, or has another format.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._is_checked = store, False

    def __getattr__(self, name: str) -> Any:
        if not self._is_checked:
            try:
                check_format(self._store)
            except SystemExit as error:
                raise StoreUnavailable(str(error)) from None
            self._is_checked = True
        return getattr(self._store, name)


def check_format(store: Store) -> None:
    """Check that this release can work on the store; record the format in an empty store.

    Processes may call this at the same time: each of them records the format before it writes anything else.
    Raises SystemExit with one line for an operator where the data has another format; StoreUnavailable.
    """
    formats = Collection("storage_format").attach(store)
    if formats.get(_ID) is None and not store.has_documents(besides=formats.name):
        try:
            formats.insert({"_id": _ID, "version": VERSION})
        except Duplicate:  # another process was faster
            pass
    found = formats.get(_ID)
    version = found["version"] if found else 1
    if version != VERSION:
        raise SystemExit(
            f"{PLATFORM}: {store.location} was made by {'an earlier' if version < VERSION else 'a later'} version "
            f"(storage format {version}, not {VERSION}): {store.remedy}"
        )
