"""The format and the owner of the stored data, recorded in each store, so that no process works on data that it
cannot read, or on those of another platform.

storage_format   {_id: "format", version: 2, prefix: "north-", installation: "north/shop"}    the last two, unless empty
"""

from shlex import quote
from typing import Any

from chassis.settings import PLATFORM
from chassis.store import Collection, Duplicate, Store, StoreUnavailable

VERSION = 2
"""The format that this release reads and writes. Raise it when stored fields or collections change their names."""

_ID = "format"


class CheckedStore:
    """A store that checks its format before its first operation, so that a process can serve before it is prepared.

    Rejects every operation with StoreUnavailable while the store is unavailable, has another format, or another owner.
    """

    def __init__(self, store: Store, prefix: str = "", installation: str = "") -> None:
        self._store, self._prefix, self._installation = store, prefix, installation
        self._is_checked = False

    def __getattr__(self, name: str) -> Any:
        if not self._is_checked:
            try:
                check_format(self._store, self._prefix, self._installation)
            except SystemExit as error:
                raise StoreUnavailable(str(error)) from None
            self._is_checked = True
        return getattr(self._store, name)


def check_format(store: Store, prefix: str = "", installation: str = "") -> None:
    """Check that this release can work on the store, and that it belongs to this platform.

    Records format and owner in an empty store, and the installation in a store that has none.
    Processes may call this at the same time: each of them records the format before it writes anything else.
    Raises SystemExit with one line for an operator where the data has another format or owner; StoreUnavailable.
    """
    formats = Collection("storage_format").attach(store)
    if formats.get(_ID) is None and not store.has_documents(besides=formats.name):
        try:
            owner = {"prefix": prefix, "installation": installation}
            formats.insert({"_id": _ID, "version": VERSION} | {key: value for key, value in owner.items() if value})
        except Duplicate:  # another process was faster
            pass
    found = formats.get(_ID)
    version = found["version"] if found else 1
    if version != VERSION:
        raise SystemExit(
            f"{PLATFORM}: {store.location} was made by {'an earlier' if version < VERSION else 'a later'} version "
            f"(storage format {version}, not {VERSION}): {store.remedy}"
        )
    _check_prefix(store, (found or {}).get("prefix", ""), prefix)
    _check_installation(store, formats, installation)


def _check_prefix(store: Store, found: str, prefix: str) -> None:
    if found != prefix:
        raise SystemExit(
            f"{PLATFORM}: {store.location} belongs to a platform with PREFIX={quote(found)}, "
            f"not PREFIX={quote(prefix)}: set PREFIX={quote(found)}, or {store.remedy}"
        )


def _check_installation(store: Store, formats: Collection, installation: str) -> None:
    if installation:
        formats.update(_ID, {"$set": {"installation": installation}}, when={"installation": {"$exists": False}})
    found = (formats.get(_ID) or {}).get("installation", "")
    if found != installation:
        raise SystemExit(
            f"{PLATFORM}: {store.location} belongs to the installation {found}, "
            f"not to {installation or 'one without a name'}: set PREFIX to a prefix of your own, "
            f"or, if {found} is gone or you work for it, INSTALLATION={found}"
        )
