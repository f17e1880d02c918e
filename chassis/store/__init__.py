"""The document port: MongoDB's own words, a small and strict part of them, over two engines.

A `Collection` is declared beside the code that uses it, and bound to an engine when the process starts:

    products = Collection("products", Index("category", "name"), Index("pending", when={"pending": {"$gt": 0}}))
    products.update(id, {"$inc": {"available": -2}}, when={"available": {"$gte": 2}})

An update changes one document, atomically, if `when` holds, and returns the document as it is afterwards.
There is no other transaction. Values are null, bool, int64, str, list and dict; times are RFC 3339 text. A document has
at most 16 MiB. A field that is sorted by is text in all documents, or an int in all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chassis.errors import Trouble
from chassis.store import documents, operators
from chassis.store.fields import Fields

Doc = dict[str, Any]
Where = Mapping[str, Any]
Change = Mapping[str, Mapping[str, Any]]
After = tuple[Any, str]

__all__ = [
    "After",
    "Change",
    "Collection",
    "Doc",
    "Duplicate",
    "Index",
    "Store",
    "StoreDown",
    "Update",
    "Where",
    "words",
]

LARGEST_PAGE = 1000
_PARTIAL = frozenset({"$eq", "$gt", "$gte", "$lt", "$lte", "$exists"})  # what MongoDB can make an index partial by


class Duplicate(Exception):
    """A document with this `_id`, or with this value in a unique index, exists. `field` names which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"a document with this {field} exists")
        self.field = field


class StoreDown(Trouble):
    """The engine cannot be reached or does not answer in time. What was to be written may have been, or still be."""

    def __init__(self, what: str) -> None:
        super().__init__(what, retry_after=1.0)


@dataclass(frozen=True)
class Index:
    """Fields that are found or sorted by. `when` makes it partial; `many` is for a list of strings, found by `$all`."""

    fields: tuple[str, ...]
    unique: bool = False
    when: Where | None = None
    many: bool = False

    def __init__(self, *fields: str, unique: bool = False, when: Where | None = None, many: bool = False) -> None:
        for name, value in (("fields", fields), ("unique", unique), ("when", when), ("many", many)):
            object.__setattr__(self, name, value)
        if many and len(fields) != 1:
            raise ValueError("an index over a list has one field")
        if many and (unique or when):
            raise ValueError("an index over a list is neither unique nor partial")
        operators.check_where(when or {})
        for condition in (when or {}).values():
            for word, value in operators.conditions(condition):
                if word not in _PARTIAL or (word == "$exists" and not value):
                    raise ValueError(f"an index cannot be partial by {word}: {value}")

    @property
    def name(self) -> str:
        return "_".join(self.fields).replace(".", "_") + ("_some" if self.when else "")


@dataclass(frozen=True)
class Update:
    """One of the changes of `Collection.update_each`."""

    id: str
    change: Change
    when: Where = field(default_factory=dict)


class Store(Protocol):
    """What an engine does. `words` has checked every argument before it arrives here."""

    def ensure(self, collection: "Collection") -> None:
        """Make the indexes that are declared and drop all others; nothing happens where they are there."""

    def insert(self, collection: "Collection", doc: Doc) -> None: ...
    def get(self, collection: "Collection", id: str) -> Doc | None: ...
    def find(self, collection: "Collection", where: Where, sort: str, limit: int, after: After | None) -> list[Doc]: ...
    def count(self, collection: "Collection", where: Where, of: str) -> int: ...
    def update(self, collection: "Collection", id: str, change: Change, when: Where) -> Doc | None: ...
    def update_each(self, collection: "Collection", updates: Sequence[Update]) -> None: ...
    def delete(self, collection: "Collection", id: str, when: Where) -> bool: ...

    def ping(self) -> None:
        """Return if the engine answers, else raise StoreDown."""

    def close(self) -> None: ...


class Collection:
    """Documents of one kind, with their indexes. Raises `StoreDown` where the engine is."""

    def __init__(self, name: str, *indexes: Index) -> None:
        self.name, self.indexes = name, indexes
        self._indexed = {"_id"} | {field for index in indexes for field in index.fields}
        self._indexed |= {field for index in indexes for field in index.when or ()}
        self._lists = {index.fields[0] for index in indexes if index.many}
        self._fields = Fields(indexes)
        if len({index.name for index in indexes}) < len(indexes):
            raise ValueError(f"two indexes of {name} have the same fields")
        self._store: Store | None = None

    def use(self, store: Store) -> None:
        """Use this engine from now on; it is not asked for anything yet."""
        self._store = store

    def bind(self, store: Store) -> None:
        """Use this engine from now on, with its indexes made. Called once in each process, after any fork."""
        self.use(store)
        store.ensure(self)

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
        self, where: Where | None = None, *, sort: str = "_id", limit: int = 100, after: After | None = None
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

    def count(self, where: Where | None = None, *, of: str = "") -> int:
        """How many documents match; or the sum of one of their fields, of the ints that stand there."""
        where = where or {}
        self._check_search(where, of or "_id")
        return self.store.count(self, where, of)

    def _check_search(self, where: Where, field: str) -> None:
        """All is indexed; a list is found by `$all`, and nothing else is."""
        operators.check_where(where)
        unknown = {*where, field} - self._indexed
        if unknown:
            raise ValueError(f"{self.name} has no index on {', '.join(sorted(unknown))}")
        if field in self._lists:
            raise ValueError(f"{field} is a list: nothing is in its order")
        for path, condition in where.items():
            for word, _ in operators.conditions(condition):
                if (word == "$all") != (path in self._lists):
                    raise ValueError(f"{path}: $all is for an index over a list, and the only word for it")

    def every(self, where: Where | None = None) -> Iterable[Doc]:
        """All that match, in the order of `_id`, read page by page: what changes meanwhile may or may not be seen."""
        after: After | None = None
        while page := self.find(where, limit=LARGEST_PAGE, after=after):
            yield from page
            after = page[-1]["_id"], page[-1]["_id"]

    def update(self, id: str, change: Change, *, when: Where | None = None) -> Doc | None:
        """Change one document if it is there and `when` holds; the new document, or None where nothing was changed."""
        operators.check_change(change)
        self._fields.check_change(change)
        operators.check_where(when or {})
        return self.store.update(self, id, change, when or {})

    def update_each(self, updates: Iterable[Update]) -> None:
        """Make each of these changes, or none of it, by itself and in no order: for many documents, much faster.

        Nobody hears which were made; one that does not suit its document is not. After StoreDown, some may be.
        """
        updates = list(updates)
        for each in updates:
            operators.check_change(each.change)
            self._fields.check_change(each.change)
            operators.check_where(each.when)
        if updates:
            self.store.update_each(self, updates)

    def delete(self, id: str, *, when: Where | None = None) -> bool:
        """Remove one document if it is there and `when` holds; whether it was removed."""
        operators.check_where(when or {})
        return self.store.delete(self, id, when or {})


def merged(*changes: Change) -> dict[str, dict[str, Any]]:
    """One change out of several that touch different paths."""
    result: dict[str, dict[str, Any]] = {}
    for change in changes:
        for word, fields in change.items():
            taken = result.setdefault(word, {})
            if clash := taken.keys() & fields.keys():
                raise ValueError(f"two changes of {', '.join(clash)}")
            taken.update(fields)
    return result


def last(page: Sequence[Doc], sort: str) -> After:
    """The `after` that continues behind this page."""
    return documents.value_at(page[-1], sort.lstrip("-")), page[-1]["_id"]
