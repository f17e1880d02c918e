"""The document port: MongoDB's own words, a small and strict part of them, over two engines.

A `Collection` is declared beside the code that uses it, and bound to an engine when the process starts:

    products = Collection("products", Index("category", "name"), Index("pending", partial={"pending": {"$gt": 0}}))
    products.update(id, {"$inc": {"available": -2}}, when={"available": {"$gte": 2}})

An update changes one document, atomically, if `when` holds, and returns the document as it is afterwards.
There is no other transaction. Values are null, bool, int64, str, list and dict; times are RFC 3339 text. A document has
at most 16 MiB. A field that is sorted by is text in all documents, or an int in all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chassis.errors import TransientError
from chassis.store import documents, operators
from chassis.store.fields import Fields

Doc = dict[str, Any]
Filter = Mapping[str, Any]
Update = Mapping[str, Mapping[str, Any]]
Cursor = tuple[Any, str]

__all__ = [
    "Cursor",
    "Update",
    "Collection",
    "Doc",
    "Duplicate",
    "Index",
    "Store",
    "StoreUnavailable",
    "UpdateOne",
    "Filter",
]

LARGEST_PAGE = 1000
_PARTIAL = frozenset({"$eq", "$gt", "$gte", "$lt", "$lte", "$exists"})  # what MongoDB can make an index partial by


class Duplicate(Exception):
    """A document with this `_id`, or with this value in a unique index, exists. `field` names which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"a document with this {field} exists")
        self.field = field


class StoreUnavailable(TransientError):
    """The engine cannot be reached or does not answer in time. What was to be written may have been, or still be."""

    def __init__(self, what: str) -> None:
        super().__init__(what, retry_after=1.0)


@dataclass(frozen=True)
class Index:
    """An index over the fields that a search names or sorts by.

    `partial` restricts it to the documents that match; `multikey` is for a list of strings, searched with `$all`.
    """

    fields: tuple[str, ...]
    unique: bool = False
    partial: Filter | None = None
    multikey: bool = False

    def __init__(
        self, *fields: str, unique: bool = False, partial: Filter | None = None, multikey: bool = False
    ) -> None:
        for name, value in (("fields", fields), ("unique", unique), ("partial", partial), ("multikey", multikey)):
            object.__setattr__(self, name, value)
        if multikey and len(fields) != 1:
            raise ValueError("a multikey index has one field")
        if multikey and (unique or partial):
            raise ValueError("a multikey index is neither unique nor partial")
        operators.check_filter(partial or {})
        for condition in (partial or {}).values():
            for operator, value in operators.conditions(condition):
                if operator not in _PARTIAL or (operator == "$exists" and not value):
                    raise ValueError(f"an index cannot be partial by {operator}: {value}")

    @property
    def name(self) -> str:
        return "_".join(self.fields).replace(".", "_") + ("_partial" if self.partial else "")


@dataclass(frozen=True)
class UpdateOne:
    """One of the changes of `Collection.bulk_update`."""

    id: str
    change: Update
    when: Filter = field(default_factory=dict)


class Store(Protocol):
    """What an engine does. `Collection` checks every argument before it calls one of these methods."""

    @property
    def location(self) -> str:
        """Which store this is, for a person; without credentials."""

    @property
    def remedy(self) -> str:
        """What a person does to begin with an empty store."""

    def has_documents(self, besides: str) -> bool:
        """Return whether a collection other than `besides` has a document."""

    def ensure_indexes(self, collection: "Collection") -> None:
        """Make the indexes that are declared and drop all others; nothing happens where they are there."""

    def insert(self, collection: "Collection", doc: Doc) -> None: ...
    def get(self, collection: "Collection", id: str) -> Doc | None: ...
    def find(
        self, collection: "Collection", where: Filter, sort: str, limit: int, after: Cursor | None
    ) -> list[Doc]: ...
    def count(self, collection: "Collection", where: Filter, of: str) -> int: ...
    def update(self, collection: "Collection", id: str, change: Update, when: Filter) -> Doc | None: ...
    def bulk_update(self, collection: "Collection", updates: Sequence[UpdateOne]) -> None: ...
    def delete(self, collection: "Collection", id: str, when: Filter) -> bool: ...

    def ping(self) -> None:
        """Return if the engine answers, else raise StoreUnavailable."""

    def close(self) -> None: ...


class Collection:
    """Documents of one kind, with their indexes. Raises `StoreUnavailable` where the engine is."""

    def __init__(self, name: str, *indexes: Index) -> None:
        self.name, self.indexes = name, indexes
        self._indexed = {"_id"} | {field for index in indexes for field in index.fields}
        self._indexed |= {field for index in indexes for field in index.partial or ()}
        self._lists = {index.fields[0] for index in indexes if index.multikey}
        self._fields = Fields(indexes)
        if len({index.name for index in indexes}) < len(indexes):
            raise ValueError(f"two indexes of {name} have the same fields")
        self._store: Store | None = None

    def attach(self, store: Store) -> "Collection":
        """Use this engine from now on; sends nothing to it yet. Returns itself."""
        self._store = store
        return self

    def ensure_indexes(self) -> None:
        """Create the declared indexes and drop all others."""
        self.store.ensure_indexes(self)

    @property
    def store(self) -> Store:
        if self._store is None:
            raise RuntimeError(f"the collection {self.name} is not bound: declare it in service.py with stores(...)")
        return self._store

    def insert(self, doc: Doc) -> None:
        """Add a document; it has a string `_id`. Raises Duplicate."""
        operators.check_document(doc)
        self._fields.check_document(doc)
        self.store.insert(self, doc)

    def get(self, id: str) -> Doc | None:
        return self.store.get(self, id)

    def find(
        self, where: Filter | None = None, *, sort: str = "_id", limit: int = 100, after: Cursor | None = None
    ) -> list[Doc]:
        """Up to `limit` documents (1 to 1000) that match, in the order of one field (`-field`: falling), then of `_id`.

        Only those with text or an int in that field are found. `after` is (its value, `_id`) of the last document seen.
        """
        where = where or {}
        self._check_search(where, sort.lstrip("-"))
        if not 1 <= limit <= LARGEST_PAGE:
            raise ValueError(f"limit must be 1 to {LARGEST_PAGE}")
        if after is not None:
            operators.check_after(after)
        return self.store.find(self, where, sort, limit, after)

    def count(self, where: Filter | None = None, *, of: str = "") -> int:
        """How many documents match; or the sum of one of their fields, of the ints that stand there."""
        where = where or {}
        self._check_search(where, of or "_id")
        return self.store.count(self, where, of)

    def _check_search(self, where: Filter, field: str) -> None:
        """All is indexed; a list is found by `$all`, and nothing else is."""
        operators.check_filter(where)
        unknown = {*where, field} - self._indexed
        if unknown:
            raise ValueError(f"{self.name} has no index on {', '.join(sorted(unknown))}")
        if field in self._lists:
            raise ValueError(f"{field} is a list: nothing is in its order")
        for path, condition in where.items():
            for word, _ in operators.conditions(condition):
                if (word == "$all") != (path in self._lists):
                    raise ValueError(f"{path}: $all is for an index over a list, and the only word for it")

    def iterate(self, where: Filter | None = None) -> Iterable[Doc]:
        """All that match, in the order of `_id`, read page by page: what changes meanwhile may or may not be seen."""
        after: Cursor | None = None
        while page := self.find(where, limit=LARGEST_PAGE, after=after):
            yield from page
            after = page[-1]["_id"], page[-1]["_id"]

    def update(self, id: str, change: Update, *, when: Filter | None = None) -> Doc | None:
        """Change one document if it is there and `when` holds; the new document, or None where nothing was changed."""
        operators.check_update(change)
        self._fields.check_update(change)
        operators.check_filter(when or {})
        return self.store.update(self, id, change, when or {})

    def bulk_update(self, updates: Iterable[UpdateOne]) -> None:
        """Make each of these changes, or none of it, by itself and in no order: for many documents, much faster.

        Nobody hears which were made; one that does not suit its document is not. After StoreUnavailable, some may be.
        """
        updates = list(updates)
        for each in updates:
            operators.check_update(each.change)
            self._fields.check_update(each.change)
            operators.check_filter(each.when)
        if updates:
            self.store.bulk_update(self, updates)

    def delete(self, id: str, *, when: Filter | None = None) -> bool:
        """Remove one document if it is there and `when` holds; whether it was removed."""
        operators.check_filter(when or {})
        return self.store.delete(self, id, when or {})


def merge_updates(*changes: Update) -> dict[str, dict[str, Any]]:
    """One change out of several that touch different paths."""
    result: dict[str, dict[str, Any]] = {}
    for change in changes:
        for word, fields in change.items():
            taken = result.setdefault(word, {})
            if clash := taken.keys() & fields.keys():
                raise ValueError(f"two changes of {', '.join(clash)}")
            taken.update(fields)
    return result


def cursor_after(page: Sequence[Doc], sort: str) -> Cursor:
    """Return the `after` that continues behind this page."""
    return documents.value_at(page[-1], sort.lstrip("-")), page[-1]["_id"]
