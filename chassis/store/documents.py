"""What guards and changes mean: MongoDB's semantics for the port's words, on plain dicts, without I/O.

Values of different types are never equal and never ordered: `true` is not 1, 5 is not "5".
"""

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chassis.store.operators import INT64, conditions

if TYPE_CHECKING:
    from chassis.store import Doc, Filter, Update

MISSING: Any = object()

_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def value_at(doc: Mapping[str, Any], path: str) -> Any:
    """The value at `name` or `name.name`, or MISSING."""
    value: Any = doc
    for name in path.split("."):
        value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
    return value


def matches(doc: Mapping[str, Any], where: "Filter") -> bool:
    """Whether every condition holds."""
    return all(
        _holds(value_at(doc, path), word, wanted)
        for path, condition in where.items()
        for word, wanted in conditions(condition)
    )


def changed(doc: "Doc", change: "Update") -> "Doc":
    """A new document, the old one being left as it is. Raises ValueError where a word does not fit what is there."""
    new = dict(doc)
    for word, fields in change.items():
        apply = _CHANGES[word]
        creates = word not in ("$unset", "$pull")
        for path, value in fields.items():
            *parents, name = path.split(".")
            holder = _holder(new, parents, creates, path)
            if holder is not None:
                apply(holder, name, value)
    return new


def _holds(value: Any, word: str, wanted: Any) -> bool:
    if word == "$exists":
        return bool(wanted) == (value is not MISSING)
    if word == "$ne":
        return not _some(value, operator.eq, wanted)
    if word == "$in":
        return any(_some(value, operator.eq, item) for item in wanted)
    if word == "$all":
        return bool(wanted) and all(_some(value, operator.eq, item) for item in wanted)
    return _some(value, _ORDER.get(word, operator.eq), wanted)


def _some(value: Any, compare: Callable[[Any, Any], bool], wanted: Any) -> bool:
    """Whether it holds for the value, or for one in it where it is a list."""
    values = value if isinstance(value, list) else (value,)
    return any(_kind(item) is _kind(wanted) and compare(item, wanted) for item in values)


def _kind(value: Any) -> type:
    """The type that values share with those they can be compared to."""
    for kind in (bool, int, str):
        if isinstance(value, kind):
            return kind
    return type(value)


def _same(one: Any, other: Any) -> bool:
    """Equality that tells `true` from 1, at any depth; the order of keys counts, as in MongoDB."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return _kind(one) is _kind(other) and bool(one == other)


def _holder(new: "Doc", parents: list[str], creates: bool, path: str) -> "Doc | None":
    """The dict that holds the last name of a path, copied on the way; None where it is not there and is not made."""
    holder = new
    for name in parents:
        child = holder.get(name, MISSING)
        if isinstance(child, list):
            raise ValueError(f"{path}: {name} is a list")
        if not isinstance(child, dict):
            if not creates:
                return None
            if child is not MISSING:
                raise ValueError(f"{path}: {name} is not a document")
            child = {}
        holder[name] = child = dict(child)
        holder = child
    return holder


def _set(holder: "Doc", name: str, value: Any) -> None:
    holder[name] = value


def _unset(holder: "Doc", name: str, value: Any) -> None:
    holder.pop(name, None)


def _inc(holder: "Doc", name: str, value: Any) -> None:
    old = holder.get(name, 0)
    if isinstance(old, bool) or not isinstance(old, int):
        raise ValueError(f"$inc: {name} is not an int")
    if not -INT64 <= old + value < INT64:
        raise ValueError(f"$inc: {name} would not fit into 64 bits")
    holder[name] = old + value


def _push(holder: "Doc", name: str, value: Any) -> None:
    holder[name] = [*_list(holder, name, "$push"), value]


def _pull(holder: "Doc", name: str, value: Any) -> None:
    if name not in holder:
        return
    items = _list(holder, name, "$pull")
    if isinstance(value, dict):
        holder[name] = [item for item in items if not (isinstance(item, dict) and matches(item, value))]
    else:
        holder[name] = [item for item in items if not _same(item, value)]


def _list(holder: "Doc", name: str, word: str) -> list[Any]:
    items = holder.get(name, [])
    if not isinstance(items, list):
        raise ValueError(f"{word}: {name} is not a list")
    return items


_CHANGES: dict[str, Callable[["Doc", str, Any], None]] = {
    "$set": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$push": _push,
    "$pull": _pull,
}
