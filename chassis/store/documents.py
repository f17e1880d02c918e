"""What filters and updates mean: MongoDB's semantics of the store's operators on plain dicts, without I/O.

Values of different types are never equal and never ordered: `true` is not 1, 5 is not "5".
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from chassis.store.operators import INT64, conditions
from chassis.store.port import Doc, Filter, Update

MISSING: Any = object()

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def value_at(doc: Mapping[str, Any], path: str) -> Any:
    """Return the value at `name` or `name.name`, or MISSING."""
    value: Any = doc
    for name in path.split("."):
        value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    return value


def matches(doc: Mapping[str, Any], where: Filter) -> bool:
    """Return whether every condition holds."""
    return all(
        _holds(value_at(doc, path), name, wanted)
        for path, condition in where.items()
        for name, wanted in conditions(condition)
    )


def apply_update(doc: Doc, update: Update) -> Doc:
    """Return a new document; the old one stays as it is. Raises ValueError where an operator does not fit."""
    new = dict(doc)
    for name, fields in update.items():
        apply = _UPDATES[name]
        creates = name not in ("$unset", "$pull")
        for path, value in fields.items():
            *parents, last = path.split(".")
            parent = _parent(new, parents, creates, path)
            if parent is not None:
                apply(parent, last, value)
    return new


def _holds(value: Any, name: str, wanted: Any) -> bool:
    if name == "$exists":
        return bool(wanted) == (value is not MISSING)
    if name == "$ne":
        return not _any(value, operator.eq, wanted)
    if name == "$in":
        return any(_any(value, operator.eq, item) for item in wanted)
    if name == "$all":
        return bool(wanted) and all(_any(value, operator.eq, item) for item in wanted)
    return _any(value, _COMPARISONS.get(name, operator.eq), wanted)


def _any(value: Any, compare: Callable[[Any, Any], bool], wanted: Any) -> bool:
    """Return whether the value, or an item of it if it is a list, compares with the wanted one."""
    values = value if isinstance(value, list) else (value,)
    return any(_kind(item) is _kind(wanted) and compare(item, wanted) for item in values)


def _kind(value: Any) -> type:
    """Return the type that comparable values share."""
    for kind in (bool, int, str):
        if isinstance(value, kind):
            return kind
    return type(value)


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal at any depth; `true` is not 1, and the order of keys counts as in MongoDB."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return _kind(one) is _kind(other) and bool(one == other)


def _parent(new: Doc, parents: list[str], creates: bool, path: str) -> Doc | None:
    """Return the dict that holds the last name of a path, copied on the way; None if it is missing and not created."""
    parent = new
    for name in parents:
        child = parent.get(name, MISSING)
        if isinstance(child, list):
            raise ValueError(f"{path}: {name} is a list")
        if not isinstance(child, dict):
            if not creates:
                return None
            if child is not MISSING:
                raise ValueError(f"{path}: {name} is not a document")
            child = {}
        parent[name] = child = dict(child)
        parent = child
    return parent


def _set(parent: Doc, name: str, value: Any) -> None:
    parent[name] = value


def _unset(parent: Doc, name: str, value: Any) -> None:
    parent.pop(name, None)


def _inc(parent: Doc, name: str, value: Any) -> None:
    old = parent.get(name, 0)
    if isinstance(old, bool) or not isinstance(old, int):
        raise ValueError(f"$inc: {name} is not an int")
    if not -INT64 <= old + value < INT64:
        raise ValueError(f"$inc: {name} would not fit into 64 bits")
    parent[name] = old + value


def _push(parent: Doc, name: str, value: Any) -> None:
    parent[name] = [*_list(parent, name, "$push"), value]


def _pull(parent: Doc, name: str, value: Any) -> None:
    if name not in parent:
        return
    items = _list(parent, name, "$pull")
    if isinstance(value, dict):
        parent[name] = [item for item in items if not (isinstance(item, dict) and matches(item, value))]
    else:
        parent[name] = [item for item in items if not is_same(item, value)]


def _list(parent: Doc, name: str, operator_name: str) -> list[Any]:
    items = parent.get(name, [])
    if not isinstance(items, list):
        raise ValueError(f"{operator_name}: {name} is not a list")
    return items


_UPDATES: dict[str, Callable[[Doc, str, Any], None]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$push": _push,
    "$pull": _pull,
}
