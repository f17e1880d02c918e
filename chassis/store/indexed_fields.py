"""What indexed fields may hold, checked on a document or an update alone, so that all engines reject the same.

A list is allowed only under a multikey index, because engines differ in what else finds it. The fields of a unique
index are text or ints in every document; a field that may be missing has `partial={field: {"$exists": True}}`. A field
with a default has the type of the default in every document that is written.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from chassis.store.documents import MISSING
from chassis.store.operators import conditions
from chassis.store.port import Index, Update
from chassis.store.versions import Versions

_RESULTS: Mapping[str, Any] = {"$unset": MISSING, "$inc": 0, "$push": [], "$pull": []}
"""The type of value that an operator leaves, by an example; `$set` leaves its operand."""


class IndexedFields:
    """The indexed fields of one collection."""

    def __init__(self, indexes: Iterable[Index], versions: Versions) -> None:
        self._versions = versions
        self._lists = {index.fields[0] for index in indexes if index.multikey}
        self._may_be_missing: dict[str, bool] = {}
        """For each field of a unique index."""
        paths = set(self._lists)
        for index in indexes:
            paths.update(index.fields, index.partial or ())
            for path in index.fields if index.unique else ():
                self._may_be_missing[path] = self._may_be_missing.get(path, True) and _requires(index, path)
        self._paths_below: dict[str, list[str]] = {}
        for path in paths:
            self._paths_below.setdefault(path.partition(".")[0], []).append(path)

    def check_document(self, doc: Mapping[str, Any]) -> None:
        """Raises ValueError if an indexed field holds what its index does not support."""
        for top, paths in self._paths_below.items():
            for path in paths:
                self._check(path, top, doc.get(top, MISSING))

    def check_update(self, update: Update) -> None:
        """Raises ValueError if the update would leave such a document."""
        for operator, fields in update.items():
            for path, value in fields.items():
                for indexed in self._paths_below.get(path.partition(".")[0], ()):
                    if indexed == path or indexed.startswith(path + "."):
                        self._check(indexed, path, _RESULTS.get(operator, value))
                    elif self._is_scalar(indexed) and path.startswith(indexed + "."):
                        raise ValueError(f"{indexed} is indexed as text or an int: it has no parts")

    def _check(self, path: str, at: str, value: Any) -> None:
        """Check the indexed field `path` by the `value` at the path `at`, which is the same or above it."""
        for name in path[len(at) :].split(".")[1:]:
            if isinstance(value, list):
                raise ValueError(f"{path} is indexed: it cannot be inside a list")
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        if isinstance(value, list) and path not in self._lists:
            raise ValueError(f"{path} is indexed: it cannot be a list")
        if path in self._versions.indexed:
            self._versions.check_new_field(path, value)
        if path in self._may_be_missing:
            is_allowed_gap = value is MISSING and self._may_be_missing[path]
            if not is_allowed_gap and (isinstance(value, bool) or not isinstance(value, str | int)):
                raise ValueError(f"{path} has a unique index: it must be text or an int")

    def _is_scalar(self, path: str) -> bool:
        return path in self._may_be_missing or path in self._versions.indexed


def _requires(index: Index, path: str) -> bool:
    return ("$exists", True) in conditions((index.partial or {}).get(path, {}))
