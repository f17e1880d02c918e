"""The document store: a small, strict part of MongoDB's language over two engines.

Declare a `Collection` beside the code that uses it; the service attaches it to an engine when the process starts:

    products = Collection("products", Index("category", "name"), Index("pending", partial={"pending": {"$gt": 0}}))
    products.update(id, {"$inc": {"available": -2}}, when={"available": {"$gte": 2}})

An update changes one document, atomically, if `when` holds, and returns the new document. There is no other
transaction. Values are null, bool, int64, str, list and dict; times are RFC 3339 text. A document has at most 16 MiB.
A field to sort by is text in all documents, or an int in all. New fields come with a `Version`: see `versions`.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chassis.store import documents, operators
from chassis.store.indexed_fields import IndexedFields
from chassis.store.port import Cursor, Doc, Duplicate, Filter, Index, Store, StoreUnavailable, Update, UpdateOne
from chassis.store.versions import Version, Versions

__all__ = [
    "MAX_PAGE_SIZE",
    "Collection",
    "Cursor",
    "Doc",
    "Duplicate",
    "Filter",
    "Index",
    "Store",
    "StoreUnavailable",
    "Update",
    "UpdateOne",
    "Version",
    "cursor_after",
    "merge_updates",
]

MAX_PAGE_SIZE = 1000


class Collection:
    """Documents of one kind, with their indexes. Every operation may raise StoreUnavailable.

    `versions` lists the changes of the documents' shape; a version stays in the list.
    """

    def __init__(self, name: str, *indexes: Index, versions: Sequence[Version] = ()) -> None:
        self.name, self.indexes, self.versions = name, indexes, Versions(versions, indexes)
        self._indexed = {"_id"} | {field for index in indexes for field in index.fields}
        self._indexed |= {field for index in indexes for field in index.partial or ()}
        self._lists = {index.fields[0] for index in indexes if index.multikey}
        self._indexed_fields = IndexedFields(indexes, self.versions)
        if len({index.name for index in indexes}) < len(indexes):
            raise ValueError(f"two indexes of {name} have the same fields")
        self._store: Store | None = None

    def attach(self, store: Store) -> "Collection":
        """Use this engine from now on, without sending anything to it yet. Return the collection itself."""
        self._store = store
        return self

    def ensure_indexes(self) -> None:
        """Create the declared indexes and drop all others."""
        self.store.ensure_indexes(self)

    @property
    def is_attached(self) -> bool:
        """Whether the collection has a store in this process."""
        return self._store is not None

    @property
    def store(self) -> Store:
        if self._store is None:
            raise RuntimeError(f"the collection {self.name} has no store: declare it in service.py with stores(...)")
        return self._store

    def insert(self, doc: Doc) -> None:
        """Add a document; its `_id` is a string. Raises Duplicate."""
        operators.check_document(doc)
        self._indexed_fields.check_document(doc)
        self.store.insert(self, self.versions.new_document(doc) if self.versions else doc)

    def get(self, id: str) -> Doc | None:
        return self._upcast(self.store.get(self, id))

    def find(
        self, where: Filter | None = None, *, sort: str = "_id", limit: int = 100, after: Cursor | None = None
    ) -> list[Doc]:
        """Return up to `limit` matches (1 to MAX_PAGE_SIZE), in the order of one field, then of `_id`.

        `sort="-field"` sorts descending. Documents without text or an int in that field are left out. `after`
        continues behind a page: see `cursor_after`. A document of an earlier version that lacks the sort key has ""
        there, and a document whose upcaster raises has the defaults.
        """
        where, field = where or {}, sort.lstrip("-")
        self._check_search(where, field)
        if field in self.versions.indexed and field not in self.versions.sort_keys:
            raise ValueError(f"{field} has a default: only a sort key can be sorted by")
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise ValueError(f"limit must be 1 to {MAX_PAGE_SIZE}")
        if after is not None:
            operators.check_cursor(after)
        docs = self.store.find(self, where, sort, limit, after)
        return [self.versions.upcast(doc, field, is_alone=False) for doc in docs] if self.versions else docs

    def count(self, where: Filter | None = None, *, up_to: int = 0) -> int:
        """Return the number of matches; with `up_to`, stop there, so that the cost does not grow with the matches."""
        where = where or {}
        self._check_search(where, "_id")
        return self.store.count(self, where, "", up_to) if up_to else self.store.count(self, where, "")

    def count_by(self, field: str, where: Filter | None = None) -> dict[str, int]:
        """Return the number of matches for each text that a field has; other values are left out.

        Fast if an index begins with the fields of `where` and `field`.
        """
        where = where or {}
        self._check_search(where, field)
        return self.store.count_by(self, where, field)

    def sum(self, field: str, where: Filter | None = None) -> int:
        """Return the sum of one field over the matches; values other than ints count as 0."""
        where = where or {}
        self._check_search(where, field)
        return self.store.count(self, where, field)

    def _check_search(self, where: Filter, field: str) -> None:
        """Check that every field has an index, and that `$all` alone searches lists."""
        operators.check_filter(where)
        unknown = {*where, field} - self._indexed
        if unknown:
            raise ValueError(f"{self.name} has no index on {', '.join(sorted(unknown))}")
        if field in self._lists:
            raise ValueError(f"{field} is a list: it cannot be sorted by or summed")
        for path, condition in where.items():
            for operator, _ in operators.conditions(condition):
                if (operator == "$all") != (path in self._lists):
                    raise ValueError(f"{path}: $all is for a field with a multikey index, and the only operator for it")

    def iterate(self, where: Filter | None = None) -> Iterator[Doc]:
        """Yield all matches in the order of `_id`, page by page; a concurrent change may be seen or not."""
        after: Cursor | None = None
        while page := self.find(where, limit=MAX_PAGE_SIZE, after=after):
            yield from page
            after = cursor_after(page, "_id")

    def update(self, id: str, update: Update, *, when: Filter | None = None) -> Doc | None:
        """Update one document if it exists and `when` holds. Return the new document, or None if nothing changed.

        Raises Duplicate; ValueError where an operator does not fit the document.
        """
        self._check_update(update)
        operators.check_filter(when or {})
        if not self.versions.concern(when or {}, update):
            return self._upcast(self.store.update(self, id, update, when or {}))
        guard = {**(when or {}), **self.versions.is_current}
        new = self.store.update(self, id, update, guard)
        if new is None:  # perhaps because the document is of an earlier version
            self.rewrite([id])
            new = self.store.update(self, id, update, guard)
        return self._upcast(new)

    def bulk_update(self, updates: Iterable[UpdateOne]) -> None:
        """Apply each update on its own, in no order; much faster than one by one.

        It does not report which were applied: one that does not fit its document is skipped. After StoreUnavailable,
        some may be applied.
        """
        updates = list(updates)
        for each in updates:
            self._check_update(each.update)
            operators.check_filter(each.when)
        if concerned := [each.id for each in updates if self.versions.concern(each.when, each.update)]:
            self.rewrite(concerned)
        if updates:
            self.store.bulk_update(self, updates)

    def delete(self, id: str, *, when: Filter | None = None) -> bool:
        """Delete one document if it exists and `when` holds. Return whether it was deleted."""
        operators.check_filter(when or {})
        if self.versions.concern(when or {}):
            self.rewrite([id])
        return self.store.delete(self, id, when or {})

    def delete_all(self, where: Filter, *, sort: str = "_id") -> None:
        """Delete all matches, each on its own and only if it still matches; `sort` names the index to read."""
        while page := self.find(where, sort=sort):
            for doc in page:
                self.delete(doc["_id"], when=where)

    def rewrite(self, ids: Sequence[str]) -> int:
        """Store these documents in their present shape, if they are not; return how many were rewritten."""
        return self.store.rewrite(self, ids, self.changes)

    def changes(self, doc: Doc) -> Doc:
        """Return the fields that a stored document needs for its present shape; {} if it has that.

        Raises ValueError if an upcaster returns what a document cannot hold, and whatever the upcaster raises.
        """
        fields = self.versions.changes(doc)
        operators.check_value(fields)
        self._indexed_fields.check_update({"$set": fields})
        return fields

    def _check_update(self, update: Update) -> None:
        operators.check_update(update)
        self.versions.check_update(update)
        self._indexed_fields.check_update(update)

    def _upcast(self, doc: Doc | None) -> Doc | None:
        return self.versions.upcast(doc) if doc and self.versions else doc


def merge_updates(*updates: Update) -> dict[str, dict[str, Any]]:
    """Return one update that does what several updates of different paths do."""
    merged: dict[str, dict[str, Any]] = {}
    for update in updates:
        for operator, fields in update.items():
            taken = merged.setdefault(operator, {})
            if clash := taken.keys() & fields.keys():
                raise ValueError(f"two updates of {', '.join(clash)}")
            taken.update(fields)
    return merged


def cursor_after(page: Sequence[Doc], sort: str) -> Cursor:
    """Return the `after` that continues behind this page."""
    return documents.value_at(page[-1], sort.lstrip("-")), page[-1]["_id"]
