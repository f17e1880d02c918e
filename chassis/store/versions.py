"""Versions of a collection's documents: new fields, and the upcasters that compute them for documents without them.

    products = Collection("products", Index("isPublished", "nameKey"), versions=(
        Version(defaults={"isPublished": True}, sort_keys=("nameKey",), upcast=with_name_key),
    ))

    {_id, ..., _v: 1}    the version of a document; readers do not see it, and a document without it has version 0

A document is upcast when it is read, and rewritten by `chassis.store.migration`. Until then, each new field counts as
its default in filters, sorts, counts and sums. A version only adds fields: a process of the release before reads and
updates the documents meanwhile.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from chassis.store.documents import MISSING, is_same, matches
from chassis.store.operators import VERSION_FIELD, check_value
from chassis.store.port import Doc, Filter, Index, Update


def _no_fields(doc: Doc) -> Doc:
    return {}


@dataclass(frozen=True)
class Version:
    """One version of the documents: its new fields.

    Arguments:
        defaults: new fields that a filter may name, and the value that a document without the field has.
        sort_keys: new fields to sort by: text, never empty. A document without one comes first, as if it were "".
        upcast: returns the new fields that differ from their default, of a document of the version before or of this
            version. Pure. The migration calls it for current documents, too, and so repairs what an older process
            left behind: it computes a field that depends on others, and keeps any other that is there already.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    sort_keys: tuple[str, ...] = ()
    upcast: Callable[[Doc], Doc] = _no_fields


class Versions:
    """All versions of one collection, in order; the number of the present one is their count."""

    def __init__(self, versions: Sequence[Version], indexes: Iterable[Index]) -> None:
        self._versions = tuple(versions)
        self.current = len(self._versions)
        self.sort_keys = frozenset(name for version in versions for name in version.sort_keys)
        self.defaults: dict[str, Any] = dict.fromkeys(self.sort_keys, "")
        for version in versions:
            self.defaults |= version.defaults
        if len(self.defaults) < sum(len(version.defaults) + len(version.sort_keys) for version in versions):
            raise ValueError("two versions have the same new field")
        for name, default in self.defaults.items():
            if "." in name:
                raise ValueError(f"{name}: a new field is at the top of a document")
            check_value(default)
        self.indexed: dict[str, Any] = {}
        """The fields with a default that a filter or a sort may name. A list is found by its items alone."""
        for index in indexes:
            self._check_index(index)
        self.is_current: Filter = {VERSION_FIELD: {"$gte": self.current}}
        """The guard of an update that works on the new fields."""

    def __bool__(self) -> bool:
        return bool(self._versions)

    def upcast(self, doc: Doc, sort: str = "_id", is_alone: bool = True) -> Doc:
        """Return the document in its present shape; the given one is consumed.

        The field of `sort`, if it is a sort key, keeps the value that the document has in this order. Raises what the
        upcaster raises. A document of a page (not `is_alone`) gets the defaults instead: the page can still be read.
        """
        found = doc.pop(VERSION_FIELD, 0)
        if found >= self.current:
            return doc
        place = doc.get(sort, "")
        try:
            for version in self._versions[found:]:
                doc |= _new_fields(version, doc)
        except Exception:  # the migration logs it
            if is_alone:
                raise
            doc = {**deepcopy(self.defaults), **doc}
        if sort in self.sort_keys:
            doc[sort] = place
        return doc

    def new_document(self, doc: Doc) -> Doc:
        """Return the document as it is inserted. Raises ValueError if it lacks a field."""
        if lacking := self.defaults.keys() - doc.keys():
            raise ValueError(f"a new document lacks {', '.join(sorted(lacking))}")
        return {**doc, VERSION_FIELD: self.current}

    def changes(self, doc: Doc) -> Doc:
        """Return the fields to set so that a stored document has its present shape; {} if it has."""
        found = doc.get(VERSION_FIELD, 0)
        if found > self.current:  # a later release wrote it
            return {}
        new = dict(doc)
        for version in self._versions:
            new |= _new_fields(version, new)
        changed = {name: new[name] for name in self.defaults if not is_same(new[name], doc.get(name, MISSING))}
        return changed | ({VERSION_FIELD: self.current} if found < self.current else {})

    def check_update(self, update: Update) -> None:
        """Raises ValueError if the update would leave a current document without a field."""
        if lacking := self.defaults.keys() & update.get("$unset", {}).keys():
            raise ValueError(f"a document cannot lack {', '.join(sorted(lacking))}")

    def concern(self, where: Filter, update: Update | None = None) -> bool:
        """Return whether a guard or an update names a new field."""
        paths = [*where, *(path for fields in (update or {}).values() for path in fields)]
        return any(path.partition(".")[0] in self.defaults for path in paths)

    def check_new_field(self, path: str, value: Any) -> None:
        """Check what an indexed field with a default may hold, so that all engines find it. Raises ValueError."""
        kind = type(self.indexed[path])
        if type(value) is not kind:
            raise ValueError(f"{path} has a default: it must be {kind.__name__}")
        if path in self.sort_keys and not value:
            raise ValueError(f"{path} is a sort key: it cannot be empty")

    def _check_index(self, index: Index) -> None:
        for path in (*index.fields, *(index.partial or ())):
            top = path.partition(".")[0]
            if top not in self.defaults or (index.multikey and self.defaults[top] == []):
                continue
            default = self.defaults[top]
            if index.unique:
                raise ValueError(f"{path}: a field with a default cannot be unique")
            if index.multikey or top != path or not isinstance(default, str | int):
                raise ValueError(f"{path}: the default of an indexed field is text, an int, a bool or an empty list")
            if path in (index.partial or {}) and matches({path: default}, {path: (index.partial or {})[path]}):
                raise ValueError(f"{path}: an index cannot be partial by a default, which not all documents hold")
            self.indexed[path] = default


def _new_fields(version: Version, doc: Doc) -> Doc:
    new = {name: deepcopy(value) for name, value in version.defaults.items() if name not in doc} | version.upcast(doc)
    if unknown := new.keys() - version.defaults.keys() - set(version.sort_keys):
        raise ValueError(f"an upcaster returns {', '.join(sorted(unknown))}, which its version does not declare")
    return new
