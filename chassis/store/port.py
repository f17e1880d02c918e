"""The port that an engine implements, and what a caller hands to it and gets from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from chassis.errors import TransientError
from chassis.store import operators

if TYPE_CHECKING:
    from chassis.store import Collection

Doc = dict[str, Any]
Filter = Mapping[str, Any]
Update = Mapping[str, Mapping[str, Any]]
Cursor = tuple[Any, str]
"""The sort field's value and the `_id` of the last document of a page."""

_PARTIAL_OPERATORS = frozenset({"$eq", "$gt", "$gte", "$lt", "$lte", "$exists"})  # those that MongoDB allows


class Duplicate(Exception):
    """A document with this `_id`, or with this value in a unique index, exists. `field` names which."""

    def __init__(self, field: str) -> None:
        super().__init__(f"a document with this {field} exists")
        self.field = field


class StoreUnavailable(TransientError):
    """The engine cannot be reached or does not answer in time. A write may have happened, or may still happen."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after=1.0)


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
                if operator not in _PARTIAL_OPERATORS or (operator == "$exists" and not value):
                    raise ValueError(f"an index cannot be partial by {operator}: {value}")

    @property
    def name(self) -> str:
        return "_".join(self.fields).replace(".", "_") + ("_partial" if self.partial else "")


@dataclass(frozen=True)
class UpdateOne:
    """One update of `Collection.bulk_update`."""

    id: str
    update: Update
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
        """Create the declared indexes and drop all others."""

    def insert(self, collection: "Collection", doc: Doc) -> None: ...
    def get(self, collection: "Collection", id: str) -> Doc | None: ...
    def find(
        self, collection: "Collection", where: Filter, sort: str, limit: int, after: Cursor | None
    ) -> list[Doc]: ...
    def count(self, collection: "Collection", where: Filter, sum_field: str, up_to: int = 0) -> int:
        """Return the number of matches, or the sum of `sum_field` over them unless it is "".

        With `up_to`, stop at this number of matches.
        """

    def count_by(self, collection: "Collection", where: Filter, field: str) -> dict[str, int]:
        """Return the number of matches for each text that `field` has."""

    def update(self, collection: "Collection", id: str, update: Update, when: Filter) -> Doc | None: ...
    def bulk_update(self, collection: "Collection", updates: Sequence[UpdateOne]) -> None: ...
    def delete(self, collection: "Collection", id: str, when: Filter) -> bool: ...
    def rewrite(self, collection: "Collection", ids: Sequence[str], changes: Callable[[Doc], Doc]) -> int:
        """Set the fields that `changes` returns for each of these documents; return how many documents changed.

        No document changes between the call of `changes`, which may be repeated, and the write.
        """

    def purge_deleted(self) -> None:
        """Remove deleted and overwritten data from files that the engine leaves to this process."""

    def ping(self) -> None:
        """Return if the engine answers. Raises StoreUnavailable."""

    def close(self) -> None: ...
