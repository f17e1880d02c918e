"""A `where` in SQL: the meaning of `documents.matches`, in a form that SQLite answers from its indexes.

A document is JSON in the column `doc`. `json_extract` alone would mix types (`true` reads as 1, a list as its text),
so each comparison carries the type as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chassis.store import Filter, Index
from chassis.store.operators import conditions

_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)
_COMPARE = {"$eq": "=", "$ne": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


@dataclass
class Clause:
    """Terms to be joined by AND, and the values of their question marks."""

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, term: str, *values: Any) -> None:
        self.terms.append(term)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(self.terms) or "TRUE"


Literals = frozenset[tuple[str, str, type, Any]]


def quoted(name: str) -> str:
    """A table's or index's name as an SQL identifier; `:` sets what we derive apart from what is declared."""
    if not re.fullmatch(r"[\w:]+", name, re.ASCII):
        raise ValueError(f"{name!r} cannot be a collection's name")
    return f'"{name}"'


def column(path: str) -> str:
    """The expression that reads one field; an index over it is used only by this very text."""
    return "id" if path == "_id" else f"json_extract(doc, {_json_path(path)})"


def literals(indexes: tuple[Index, ...]) -> Literals:
    """The conditions of partial indexes: SQLite uses such an index only where a query says the same, in literals."""
    return frozenset(
        (path, word, type(value), value)
        for index in indexes
        for path, condition in (index.partial or {}).items()
        for word, value in conditions(condition)
    )


def where_clause(where: Filter, inline: Literals) -> Clause:
    """All conditions but `$all`, which needs the index's table; those in `inline` are written out, without `?`."""
    clause = Clause()
    for path, condition in where.items():
        for word, value in conditions(condition):
            if word == "$in":
                _any_of(clause, path, value)
            elif word == "$exists":
                clause.add(f"{_type(path)} IS {'NOT ' if value else ''}NULL")
            elif word == "$ne":
                clause.add(f"({column(path)} = ? AND {_is(path, value)}) IS NOT TRUE", value)
            elif word in _COMPARE:
                shown = (path, word, type(value), value) in inline
                clause.add(
                    f"{column(path)} {_COMPARE[word]} {_literal(value) if shown else '?'}", *(() if shown else (value,))
                )
                clause.add(_is(path, value))
    return clause


def sortable(path: str, after: Any) -> str:
    """The term that only text and ints have a place in an order; behind the value `after`, only what is of its kind."""
    return f"{_type(path)} IN ('integer', 'text')" if after is None else _is(path, after)


def is_int(path: str) -> str:
    """The term that the field is an int."""
    return _is(path, 0)


def index_columns(index: Index) -> str:
    """What an index is over. Its last column is `id`, the second key of every order."""
    columns = [column(path) for path in index.fields]
    return ", ".join(columns if index.unique else [*columns, "id"])


def words_of(where: Filter) -> Iterator[tuple[str, list[str]]]:
    """(path, words) of each `$all`."""
    for path, condition in where.items():
        for word, value in conditions(condition):
            if word == "$all":
                yield path, value


def _any_of(clause: Clause, path: str, items: list[Any]) -> None:
    kinds: dict[str, list[Any]] = {}
    for item in items:
        kinds.setdefault(_is(path, item), []).append(item)
    each = [f"({column(path)} IN ({', '.join('?' * len(some))}) AND {kind})" for kind, some in kinds.items()]
    clause.add(f"({' OR '.join(each)})" if each else "FALSE", *(item for some in kinds.values() for item in some))


def _type(path: str) -> str:
    return "'text'" if path == "_id" else f"json_type(doc, {_json_path(path)})"


def _is(path: str, value: Any) -> str:
    """That the field has this value's type."""
    if isinstance(value, bool):
        return f"{_type(path)} IN ('true', 'false')"
    return f"{_type(path)} = '{'integer' if isinstance(value, int) else 'text'}'"


def _literal(value: Any) -> str:
    return str(int(value)) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _json_path(path: str) -> str:
    if not _NAME.fullmatch(path):
        raise ValueError(f"{path!r} cannot be indexed: a name is of letters, digits and _")
    return "'$" + "".join(f'."{name}"' for name in path.split(".")) + "'"
