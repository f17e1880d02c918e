"""What indexed fields may hold, judged by a document or a change alone: so every engine refuses the same, at once.

A list is only under an index over a list: engines differ in what else finds it. The fields of a unique index are text
or ints in every document; one that may be missing says so by `when={field: {"$exists": True}}`.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from chassis.store.documents import MISSING
from chassis.store.operators import conditions

if TYPE_CHECKING:
    from chassis.store import Index, Update

_WRITTEN: Mapping[str, Any] = {"$unset": MISSING, "$inc": 0, "$push": [], "$pull": []}
"""What a word leaves behind, as far as these rules care."""


class Fields:
    """The indexed fields of one collection."""

    def __init__(self, indexes: Iterable["Index"]) -> None:
        self._lists = {index.fields[0] for index in indexes if index.multikey}
        self._unique: dict[str, bool] = {}
        """Whether the field may be missing."""
        paths = set(self._lists)
        for index in indexes:
            paths.update(index.fields, index.partial or ())
            for path in index.fields if index.unique else ():
                self._unique[path] = self._unique.get(path, True) and _says_exists(index, path)
        self._below: dict[str, list[str]] = {}
        for path in paths:
            self._below.setdefault(path.partition(".")[0], []).append(path)

    def check_document(self, doc: Mapping[str, Any]) -> None:
        """Raises ValueError for a document that an index is not made for."""
        for top, paths in self._below.items():
            for path in paths:
                self._check(path, top, doc.get(top, MISSING))

    def check_update(self, change: "Update") -> None:
        """Raises ValueError for a change that would leave such a document."""
        for word, fields in change.items():
            for path, value in fields.items():
                for indexed in self._below.get(path.partition(".")[0], ()):
                    if indexed == path or indexed.startswith(path + "."):
                        self._check(indexed, path, _WRITTEN.get(word, value))
                    elif indexed in self._unique and path.startswith(indexed + "."):
                        raise ValueError(f"{indexed} has a unique index: it must be text or an int")

    def _check(self, path: str, at: str, value: Any) -> None:
        """Judge the indexed field `path` by what is `at` it, or above it."""
        for name in path[len(at) :].split(".")[1:]:
            if isinstance(value, list):
                raise ValueError(f"{path} is indexed: it cannot be inside a list")
            value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        if isinstance(value, list) and path not in self._lists:
            raise ValueError(f"{path} is indexed: it cannot be a list")
        if path in self._unique:
            may_be_missing = value is MISSING and self._unique[path]
            if not may_be_missing and (isinstance(value, bool) or not isinstance(value, str | int)):
                raise ValueError(f"{path} has a unique index: it must be text or an int")


def _says_exists(index: "Index", path: str) -> bool:
    return ("$exists", True) in conditions((index.partial or {}).get(path, {}))
