"""The operators of the store, checked in one place, so that every engine rejects an unknown one.

    filters  $eq $ne $gt $gte $lt $lte $in $exists, and $all on a list of text
    updates  $set $unset $inc $push $pull (equal, or {field: {"$lte": x}}; a list at the top of a document)

A path is `name` or `name.name`; it never crosses a list. A bare value means `$eq`.
"""

import re
from collections.abc import Mapping
from typing import Any

FILTER_OPERATORS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$exists", "$all"})
UPDATE_OPERATORS = frozenset({"$set", "$unset", "$inc", "$push", "$pull"})
INT64 = 2**63
WRITE_ID = "_w"
"""The field that an engine may keep for itself in each document; no caller sees or uses it."""
VERSION_FIELD = "_v"
"""The field that a collection with versions keeps for itself in each document."""
_RESERVED = (WRITE_ID, VERSION_FIELD)
MAX_DEPTH = 50
"""Levels of a value, and names of a path: together no more than the 100 levels that MongoDB supports."""
_PATH = re.compile(r"[^$.\x00][^.\x00]*(\.[^$.\x00][^.\x00]*)*")


def check_value(value: Any, depth: int = MAX_DEPTH) -> None:
    """Reject a value that one of the engines would not store unchanged. Raises ValueError, TypeError."""
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int):
        if not -INT64 <= value < INT64:
            raise ValueError(f"{value} does not fit into 64 bits")
    elif isinstance(value, list | dict):
        if not depth:
            raise ValueError(f"a value has at most {MAX_DEPTH} levels")
        for name in value if isinstance(value, dict) else ():
            if not isinstance(name, str) or not _PATH.fullmatch(name) or "." in name:
                raise ValueError(f"{name!r} cannot be a field's name")
        for item in value.values() if isinstance(value, dict) else value:
            check_value(item, depth - 1)
    elif value is not None:
        raise TypeError(f"a document cannot hold a {type(value).__name__}")


def check_document(doc: Mapping[str, Any]) -> None:
    if not isinstance(doc.get("_id"), str):
        raise ValueError("a document needs an _id of text")
    for name in _RESERVED:
        if name in doc:
            raise ValueError(f"{name} is the store's own field")
    check_value(doc)


def check_filter(where: Mapping[str, Any]) -> None:
    for path, condition in where.items():
        _check_path(path)
        if condition == {}:
            raise ValueError(f"{path}: no condition")
        for operator, value in conditions(condition):
            if operator not in FILTER_OPERATORS:
                raise ValueError(f"{operator} is not a filter operator of the store")
            if operator in ("$in", "$all"):
                allowed = str if operator == "$all" else str | int
                if not isinstance(value, list) or not all(isinstance(item, allowed) for item in value):
                    raise ValueError(f"{operator} takes a list of {'text' if operator == '$all' else 'scalars'}")
            elif operator == "$exists":
                if not isinstance(value, bool):
                    raise ValueError("$exists takes a bool")
            elif value is None or not isinstance(value, str | int):
                raise ValueError(f"{operator} takes a scalar, not {value!r}")
            check_value(value)


def check_update(update: Mapping[str, Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    if not update:
        raise ValueError("an empty update")
    for operator, fields in update.items():
        if operator not in UPDATE_OPERATORS:
            raise ValueError(f"{operator} is not an update operator of the store")
        for path, value in fields.items():
            _check_path(path)
            if path.partition(".")[0] == "_id":
                raise ValueError("an _id never changes")
            if path in seen:
                raise ValueError(f"{path} is updated twice")
            if operator == "$pull" and "." in path:
                raise ValueError(f"{path}: $pull takes a list at the top of a document")
            seen.add(path)
            _check_operand(operator, value)
    _check_apart(seen)


def _check_apart(paths: set[str]) -> None:
    for path in paths:
        while path := path.rpartition(".")[0]:
            if path in paths:
                raise ValueError(f"{path} is updated together with a part of it")


def check_cursor(cursor: tuple[Any, str]) -> None:
    value, id = cursor
    if isinstance(value, bool) or not isinstance(value, str | int) or not isinstance(id, str):
        raise ValueError("a cursor is the sort field's value, text or an int, and an _id")
    check_value(value)
    check_value(id)


def conditions(condition: Any) -> list[tuple[str, Any]]:
    """Return a condition as (operator, value) pairs; a bare value means `$eq`."""
    if isinstance(condition, Mapping):
        return list(condition.items())
    return [("$eq", condition)]


def _check_operand(operator: str, value: Any) -> None:
    if operator == "$inc" and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError("$inc takes an int")
    if operator == "$pull" and isinstance(value, dict):
        if not value or any("." in name for name in value):
            raise ValueError("$pull takes conditions on names, at least one")
        check_filter(value)
    elif operator != "$unset":
        check_value(value)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text cannot hold NUL")
    if not text.isascii():
        text.encode()  # rejects a lone surrogate: UnicodeEncodeError is a ValueError


def _check_path(path: str) -> None:
    if not isinstance(path, str) or not _PATH.fullmatch(path) or path.count(".") >= MAX_DEPTH:
        raise ValueError(f"{path!r} is not a path")
    if path.partition(".")[0] in _RESERVED:
        raise ValueError(f"{path} is the store's own field")
