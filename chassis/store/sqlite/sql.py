"""Translation of filters to SQL: the meaning of `documents.matches`, in a form that SQLite answers from its indexes.

A document is JSON in the column `doc`. `json_extract` alone would mix types (`true` reads as 1, a list as its text),
so each comparison tests the type as well.
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
    """Terms that AND joins, and the values of their placeholders."""

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, term: str, *values: Any) -> None:
        self.terms.append(term)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(self.terms) or "TRUE"


Literals = frozenset[tuple[str, str, type, Any]]


def quoted(name: str) -> str:
    """Return the name of a table or index as an SQL identifier; `:` separates derived names from declared ones."""
    if not re.fullmatch(r"[\w:]+", name, re.ASCII):
        raise ValueError(f"{name!r} cannot be a collection's name")
    return f'"{name}"'


def column(path: str) -> str:
    """Return the expression that reads one field. SQLite uses an index over it only for exactly this text."""
    return "id" if path == "_id" else f"json_extract(doc, {_json_path(path)})"


def literals(indexes: tuple[Index, ...]) -> Literals:
    """Return the conditions of partial indexes: SQLite uses such an index only if a query repeats it in literals."""
    return frozenset(
        (path, operator, type(value), value)
        for index in indexes
        for path, condition in (index.partial or {}).items()
        for operator, value in conditions(condition)
    )


def where_clause(where: Filter, inline: Literals) -> Clause:
    """Translate all conditions but `$all`, which needs the table of its index. Those in `inline` become literals."""
    clause = Clause()
    for path, condition in where.items():
        for operator, value in conditions(condition):
            if operator == "$in":
                _in(clause, path, value)
            elif operator == "$exists":
                clause.add(f"{_type(path)} IS {'NOT ' if value else ''}NULL")
            elif operator == "$ne":
                clause.add(f"({column(path)} = ? AND {_is(path, value)}) IS NOT TRUE", value)
            elif operator in _COMPARE:
                is_literal = (path, operator, type(value), value) in inline
                clause.add(
                    f"{column(path)} {_COMPARE[operator]} {_literal(value) if is_literal else '?'}",
                    *(() if is_literal else (value,)),
                )
                clause.add(_is(path, value))
    return clause


def sortable(path: str, after: Any) -> str:
    """Return the term that selects sortable values: text and ints, or only the type of `after` if there is one."""
    return f"{_type(path)} IN ('integer', 'text')" if after is None else _is(path, after)


def is_int(path: str) -> str:
    """Return the term that the field is an int."""
    return _is(path, 0)


def index_columns(index: Index) -> str:
    """Return the columns of an index. The last one is `id`, the second key of every order."""
    columns = [column(path) for path in index.fields]
    return ", ".join(columns if index.unique else [*columns, "id"])


def all_conditions(where: Filter) -> Iterator[tuple[str, list[str]]]:
    """Yield (path, values) of each `$all`."""
    for path, condition in where.items():
        for operator, value in conditions(condition):
            if operator == "$all":
                yield path, value


def _in(clause: Clause, path: str, items: list[Any]) -> None:
    kinds: dict[str, list[Any]] = {}
    for item in items:
        kinds.setdefault(_is(path, item), []).append(item)
    each = [f"({column(path)} IN ({', '.join('?' * len(some))}) AND {kind})" for kind, some in kinds.items()]
    clause.add(f"({' OR '.join(each)})" if each else "FALSE", *(item for some in kinds.values() for item in some))


def _type(path: str) -> str:
    return "'text'" if path == "_id" else f"json_type(doc, {_json_path(path)})"


def _is(path: str, value: Any) -> str:
    """Return the term that the field has the type of this value."""
    if isinstance(value, bool):
        return f"{_type(path)} IN ('true', 'false')"
    return f"{_type(path)} = '{'integer' if isinstance(value, int) else 'text'}'"


def _literal(value: Any) -> str:
    return str(int(value)) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _json_path(path: str) -> str:
    if not _NAME.fullmatch(path):
        raise ValueError(f"{path!r} cannot be indexed: a name is of letters, digits and _")
    return "'$" + "".join(f'."{name}"' for name in path.split(".")) + "'"
