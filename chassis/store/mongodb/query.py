"""What the port's words are in MongoDB's query language: the same words, kept out of lists, where MongoDB would look.

MongoDB finds `a.b` in each element of a list `a`, and changes `a.0` in one; the port's paths never cross a list.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pymongo import IndexModel

from chassis.store import After, Change, Index, Where
from chassis.store.operators import MARK, conditions

Filter = dict[str, Any]
Definition = tuple[list[tuple[str, int]], bool, dict[str, Any]]
"""What makes one index differ from another: keys, unique, partial by."""

_SORTABLE = {"$type": ["int", "long", "string"]}


def search(where: Where, sort: str, after: After | None) -> Filter:
    """The documents of a page. Its fields are indexed, so that no list is at or above them, but where `$all` looks."""
    field, falling = sort.lstrip("-"), sort.startswith("-")
    beyond = "$lt" if falling else "$gt"
    terms: list[Filter] = [dict(where)] if where else []
    if after and field == "_id":
        terms.append({"_id": {beyond: after[1]}})
    elif after:
        # Where the index is entered, and which of those with this very value come behind.
        terms.append({field: {f"{beyond}e": after[0]}})
        terms.append({"$or": [{field: {beyond: after[0]}}, {"_id": {beyond: after[1]}}]})
    elif field != "_id":
        terms.append({field: _SORTABLE})
    return {"$and": terms} if terms else {}


def order(sort: str) -> list[tuple[str, int]]:
    """The keys of an order, the last being `_id`."""
    field, way = sort.lstrip("-"), -1 if sort.startswith("-") else 1
    return [(field, way)] if field == "_id" else [(field, way), ("_id", way)]


def counted(where: Where, of: str) -> list[Filter]:
    """The stages that count what matches, or sum a field; answered from the index alone where that has all of it."""
    return [{"$match": search(where, "_id", None)}, {"$group": {"_id": None, "count": {"$sum": f"${of}" if of else 1}}}]


def guarded(id: str, when: Where, *also: Filter) -> Filter:
    """The document, if `when` holds for it."""
    terms = [
        _strict(path, word, value) for path, condition in when.items() for word, value in conditions(condition)
    ]  # fmt: skip
    terms += also
    return {"_id": id, "$and": terms} if terms else {"_id": id}


def fits(change: Change) -> list[Filter]:
    """What a document must be for the words of a change to mean what the port says, where the server would not refuse.

    It would change the elements of a list; and a server like MongoDB may count with a bool.
    """
    terms: list[Filter] = []
    for word, fields in change.items():
        for path in fields:
            if "." in path:
                terms.append(_no_list_above(path))
            if word == "$inc":
                terms.append({path: {"$not": {"$type": "bool"}}})
    return terms


def stamped(change: Change, mark: object) -> dict[str, dict[str, Any]]:
    """The change with the mark of its write."""
    words = {word: dict(fields) for word, fields in change.items() if fields}
    words["$set"] = {**words.get("$set", {}), MARK: mark}
    return words


def definition(index: Index) -> Definition:
    """How an index is made. Its last key is `_id`, the second key of every order."""
    keys = [(path, 1) for path in index.fields]
    return keys if index.unique else [*keys, ("_id", 1)], index.unique, dict(index.when or {})


def described(made: Mapping[str, Any]) -> Definition:
    """The definition of an index as `listIndexes` tells it."""
    partial = made.get("partialFilterExpression", {})
    keys = [(path, int(way)) for path, way in made["key"].items()]
    return keys, bool(made.get("unique")), {path: _plain(condition) for path, condition in partial.items()}


def models(definitions: Mapping[str, Definition]) -> Iterator[IndexModel]:
    for name, (keys, unique, partial) in definitions.items():
        options: dict[str, Any] = {"partialFilterExpression": partial} if partial else {}
        yield IndexModel(keys, name=name, unique=unique, **options)


def _strict(path: str, word: str, value: Any) -> Filter:
    if "." not in path:
        return {path: {word: value}}
    if word == "$ne":
        return {"$nor": [_strict(path, "$eq", value)]}
    if word == "$exists" and not value:
        return {"$nor": [_strict(path, "$exists", True)]}
    return {path: {word: value}, **_no_list_above(path)}


def _no_list_above(path: str) -> Filter:
    names = path.split(".")
    return {".".join(names[:count]): {"$not": {"$type": "array"}} for count in range(1, len(names))}


def _plain(condition: Any) -> Any:
    return dict(condition) if isinstance(condition, Mapping) else condition
