"""Translation of filters to SQL: the meaning of `documents.matches`, in a form that SQLite answers from its indexes.

A document is JSON in the column `doc`. `json_extract` alone would mix types (`true` reads as 1, a list as its text),
so each comparison tests the type as well. A missing field with a default reads as the default, in an index, too.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chassis.store import Filter, Index
from chassis.store.operators import conditions

_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)
_COMPARE = {"$eq": "=", "$ne": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


@dataclass
class Clause:
    """Terms that AND joins, and the values of their placeholders."""

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, term: str, *values: Any) -> None:
        self.terms.append(term)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(self.terms) or "TRUE"


def quoted(name: str) -> str:
    """Return the name of a table or index as an SQL identifier; `:` separates derived names from declared ones."""
    if not re.fullmatch(r"[\w:]+", name, re.ASCII):
        raise ValueError(f"{name!r} cannot be a collection's name")
    return f'"{name}"'


class Fields:
    """The fields of one collection in SQL."""

    def __init__(self, indexes: Iterable[Index], defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        # SQLite uses a partial index only if a query repeats its conditions in literals.
        self._literals = frozenset(
            (path, operator, type(value), value)
            for index in indexes
            for path, condition in (index.partial or {}).items()
            for operator, value in conditions(condition)
        )

    def column(self, path: str) -> str:
        """Return the expression that reads one field. SQLite uses an index over it only for exactly this text."""
        if path == "_id":
            return "id"
        value = f"json_extract(doc, {_json_path(path)})"
        return f"coalesce({value}, {_literal(self._defaults[path])})" if path in self._defaults else value

    def where_clause(self, where: Filter) -> Clause:
        """Translate all conditions but `$all`, which needs the table of its index."""
        clause = Clause()
        for path, condition in where.items():
            for operator, value in conditions(condition):
                if operator == "$in":
                    self._in(clause, path, value)
                elif operator == "$exists":
                    clause.add(f"{self._type(path)} IS {'NOT ' if value else ''}NULL")
                elif operator == "$ne":
                    clause.add(f"({self.column(path)} = ? AND {self._is(path, value)}) IS NOT TRUE", value)
                elif operator in _COMPARE:
                    is_literal = (path, operator, type(value), value) in self._literals
                    clause.add(
                        f"{self.column(path)} {_COMPARE[operator]} {_literal(value) if is_literal else '?'}",
                        *(() if is_literal else (value,)),
                    )
                    clause.add(self._is(path, value))
        return clause

    def sortable(self, path: str, after: Any) -> str:
        """Return the term that selects sortable values: text and ints, or only the type of `after` if there is one."""
        return f"{self._type(path)} IN ('integer', 'text')" if after is None else self._is(path, after)

    def is_int(self, path: str) -> str:
        """Return the term that the field is an int."""
        return self._is(path, 0)

    def is_text(self, path: str) -> str:
        """Return the term that the field is text."""
        return self._is(path, "")

    def index_columns(self, index: Index) -> str:
        """Return the columns of an index. The last one is `id`, the second key of every order."""
        columns = [self.column(path) for path in index.fields]
        return ", ".join(columns if index.unique else [*columns, "id"])

    def _in(self, clause: Clause, path: str, items: list[Any]) -> None:
        kinds: dict[str, list[Any]] = {}
        for item in items:
            kinds.setdefault(self._is(path, item), []).append(item)
        column = self.column(path)
        each = [f"({column} IN ({', '.join('?' * len(some))}) AND {kind})" for kind, some in kinds.items()]
        clause.add(f"({' OR '.join(each)})" if each else "FALSE", *(item for some in kinds.values() for item in some))

    def _type(self, path: str) -> str:
        if path == "_id":
            return "'text'"
        if path in self._defaults:  # every document has this type, or no value
            return f"'{_json_type(self._defaults[path])}'"
        return f"json_type(doc, {_json_path(path)})"

    def _is(self, path: str, value: Any) -> str:
        """Return the term that the field has the type of this value."""
        if isinstance(value, bool):
            return f"{self._type(path)} IN ('true', 'false')"
        return f"{self._type(path)} = '{_json_type(value)}'"


def all_conditions(where: Filter) -> Iterator[tuple[str, list[str]]]:
    """Yield (path, values) of each `$all`."""
    for path, condition in where.items():
        for operator, value in conditions(condition):
            if operator == "$all":
                yield path, value


def _json_type(value: str | int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "integer" if isinstance(value, int) else "text"


def _literal(value: Any) -> str:
    return str(int(value)) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _json_path(path: str) -> str:
    if not _NAME.fullmatch(path):
        raise ValueError(f"{path!r} cannot be indexed: a name is of letters, digits and _")
    return "'$" + "".join(f'."{name}"' for name in path.split(".")) + "'"
