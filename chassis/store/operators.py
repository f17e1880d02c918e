"""The words of the store port: checked in one place, so that an unknown one is an error on every engine.

    guards   $eq $ne $gt $gte $lt $lte $in $exists, and $all on a list of text
    changes  $set $unset $inc $push $pull (equal, or {field: {"$lte": x}}; a list at the top of a document)

A path is `name` or `name.name`; it never crosses a list. `$eq` is written as the bare value or in full.
"""

import re
from collections.abc import Mapping
from typing import Any

GUARDS = frozenset({"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$exists", "$all"})
CHANGES = frozenset({"$set", "$unset", "$inc", "$push", "$pull"})
INT64 = 2**63
WRITE_ID = "_w"
"""The field that an engine may keep for itself in each document; nobody else sees or uses it."""
DEEPEST = 50
"""Levels of a value, and names of a path: together no more than the 100 levels that MongoDB keeps."""
_PATH = re.compile(r"[^$.\x00][^.\x00]*(\.[^$.\x00][^.\x00]*)*")


def check_value(value: Any, depth: int = DEEPEST) -> None:
    """Refuse what one of the engines would not keep as it is."""
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, int):
        if not -INT64 <= value < INT64:
            raise ValueError(f"{value} does not fit into 64 bits")
    elif isinstance(value, list | dict):
        if not depth:
            raise ValueError(f"a value has at most {DEEPEST} levels")
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
    if WRITE_ID in doc:
        raise ValueError(f"{WRITE_ID} is the engine's own field")
    check_value(doc)


def check_filter(where: Mapping[str, Any]) -> None:
    for path, condition in where.items():
        _check_path(path)
        if condition == {}:
            raise ValueError(f"{path}: no condition")
        for word, value in conditions(condition):
            if word not in GUARDS:
                raise ValueError(f"{word} is not a word of the store")
            if word in ("$in", "$all"):
                kinds = str if word == "$all" else str | int
                if not isinstance(value, list) or not all(isinstance(item, kinds) for item in value):
                    raise ValueError(f"{word} takes a list of {'text' if word == '$all' else 'scalars'}")
            elif word == "$exists":
                if not isinstance(value, bool):
                    raise ValueError("$exists takes a bool")
            elif value is None or not isinstance(value, str | int):
                raise ValueError(f"{word} takes a scalar, not {value!r}")
            check_value(value)


def check_update(change: Mapping[str, Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    if not change:
        raise ValueError("an empty change")
    for word, fields in change.items():
        if word not in CHANGES:
            raise ValueError(f"{word} is not a word of the store")
        for path, value in fields.items():
            _check_path(path)
            if path.partition(".")[0] == "_id":
                raise ValueError("an _id never changes")
            if path in seen:
                raise ValueError(f"{path} is changed twice")
            if word == "$pull" and "." in path:
                raise ValueError(f"{path}: $pull takes a list at the top of a document")
            seen.add(path)
            _check_operand(word, value)
    for path in seen:
        if any(other.startswith(path + ".") for other in seen):
            raise ValueError(f"{path} is changed together with a part of it")


def check_after(after: tuple[Any, str]) -> None:
    value, id = after
    if isinstance(value, bool) or not isinstance(value, str | int) or not isinstance(id, str):
        raise ValueError("after is the sort field's value, text or an int, and an _id")
    check_value(value)
    check_value(id)


def conditions(condition: Any) -> list[tuple[str, Any]]:
    """A condition as (word, value) pairs: a bare value means `$eq`."""
    if isinstance(condition, Mapping):
        return list(condition.items())
    return [("$eq", condition)]


def _check_operand(word: str, value: Any) -> None:
    if word == "$inc" and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError("$inc takes an int")
    if word == "$pull" and isinstance(value, dict):
        if not value or any("." in name for name in value):
            raise ValueError("$pull takes conditions on names, at least one")
        check_filter(value)
    elif word != "$unset":
        check_value(value)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text cannot hold NUL")
    if not text.isascii():
        text.encode()  # a lone surrogate is no text: UnicodeEncodeError, a ValueError


def _check_path(path: str) -> None:
    if not isinstance(path, str) or not _PATH.fullmatch(path) or path.count(".") >= DEEPEST:
        raise ValueError(f"{path!r} is not a path")
    if path.partition(".")[0] == WRITE_ID:
        raise ValueError(f"{WRITE_ID} is the engine's own field")
