"""Translation of the port's filters and updates to MongoDB's query language.

The operators are the same, but MongoDB looks for `a.b` in each element of a list `a`, and changes `a.0` in one. The
port's paths never cross a list, so the translation excludes lists where MongoDB would enter them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from bson import ObjectId
from pymongo import IndexModel

from chassis import clock
from chassis.store import Cursor, Filter, Index, Update
from chassis.store.documents import matches
from chassis.store.operators import WRITE_ID, conditions

Query = dict[str, Any]
Definition = tuple[list[tuple[str, int]], bool, dict[str, Any]]
"""What identifies an index: keys, unique, filter of a partial index."""

_SORTABLE = {"$type": ["int", "long", "string"]}


def search(where: Filter, sort: str, after: Cursor | None, defaults: Mapping[str, Any]) -> Query:
    """Return the query of a page. Its fields are indexed, so none is or is inside a list, except under `$all`.

    A missing field counts as its default: a search for null finds the missing ones, as none of them is null.
    """
    field, descending = sort.lstrip("-"), sort.startswith("-")
    beyond = "$lt" if descending else "$gt"
    plain = {path: condition for path, condition in where.items() if path not in defaults}
    terms: list[Query] = [plain] if plain else []
    terms += (
        _with_default(path, operator, value, defaults[path])
        for path, condition in where.items()
        if path in defaults
        for operator, value in conditions(condition)
    )
    if after and field == "_id":
        terms.append({"_id": {beyond: after[1]}})
    elif after and field in defaults:
        terms += _after_sort_key(field, after, descending)
    elif after:
        # The first term bounds the index scan; the second one skips documents with the same value up to the cursor.
        terms.append({field: {f"{beyond}e": after[0]}})
        terms.append({"$or": [{field: {beyond: after[0]}}, {"_id": {beyond: after[1]}}]})
    elif field != "_id" and field not in defaults:
        terms.append({field: _SORTABLE})
    return {"$and": terms} if terms else {}


def _with_default(path: str, operator: str, value: Any, default: Any) -> Query:
    counts = matches({path: default}, {path: {operator: value}})
    if operator == "$exists":
        return {} if counts else {path: {"$in": []}}
    if operator in ("$eq", "$in"):
        values = value if operator == "$in" else [value]
        return {path: {"$in": [*values, None] if counts else values}}
    if operator == "$ne":
        return {"$nor": [{path: {"$in": [value] if counts else [value, None]}}]}
    return {"$or": [{path: {operator: value}}, {path: None}]} if counts else {path: {operator: value}}


def _after_sort_key(field: str, after: Cursor, descending: bool) -> Iterator[Query]:
    """Yield the terms of a page behind a cursor in the order of a sort key.

    A missing one is below every text. A cursor at "" is among the documents without it.
    """
    value, id = after
    if not value and descending:
        yield {field: None}
        yield {"_id": {"$lt": id}}
    elif not value:
        yield {"$or": [{field: {"$gt": ""}}, {"_id": {"$gt": id}}]}
    elif descending:
        yield {field: {"$not": {"$gt": value}}}
        yield {"$or": [{field: {"$lt": value}}, {field: None}, {"_id": {"$lt": id}}]}
    else:
        yield {field: {"$gte": value}}
        yield {"$or": [{field: {"$gt": value}}, {"_id": {"$gt": id}}]}


def sort_keys(sort: str) -> list[tuple[str, int]]:
    """Return the keys of an order, with `_id` as the last one."""
    field, direction = sort.lstrip("-"), -1 if sort.startswith("-") else 1
    return [(field, direction)] if field == "_id" else [(field, direction), ("_id", direction)]


def count_stages(where: Filter, sum_field: str, defaults: Mapping[str, Any], up_to: int = 0) -> list[Query]:
    """Return the pipeline that counts the matches, or sums a field. MongoDB answers it from the index if it can."""
    value: Any = _value(sum_field, defaults) if sum_field else 1
    limit = [{"$limit": up_to}] if up_to else []
    match = {"$match": search(where, "_id", None, defaults)}
    return [match, *limit, {"$group": {"_id": None, "count": {"$sum": value}}}]


def count_by_stages(where: Filter, field: str, defaults: Mapping[str, Any]) -> list[Query]:
    """Return the pipeline that counts the matches for each value of a field."""
    match = {"$match": search(where, "_id", None, defaults)}
    return [match, {"$group": {"_id": _value(field, defaults), "count": {"$sum": 1}}}]


def _value(field: str, defaults: Mapping[str, Any]) -> Any:
    """Return the expression that reads a field."""
    return {"$ifNull": [f"${field}", defaults[field]]} if field in defaults else f"${field}"


def guarded(id: str, when: Filter, *also: Query) -> Query:
    """Return the query for one document, if `when` holds for it."""
    terms = [
        _outside_lists(path, operator, value)
        for path, condition in when.items()
        for operator, value in conditions(condition)
    ]
    terms += also
    return {"_id": id, "$and": terms} if terms else {"_id": id}


def preconditions(update: Update) -> list[Query]:
    """Return what must hold for an update to mean what the port says, where the server would not reject it.

    A server would change elements of a list; and a server that is compatible with MongoDB may increment a bool.
    """
    terms: list[Query] = []
    for operator, fields in update.items():
        for path in fields:
            if "." in path:
                terms.append(_no_list_above(path))
            if operator == "$inc":
                terms.append({path: {"$not": {"$type": "bool"}}})
    return terms


def new_write_id() -> ObjectId:
    return ObjectId(clock.entropy(12))


def with_write_id(update: Update, write_id: ObjectId) -> dict[str, dict[str, Any]]:
    """Return the update, extended to store the id of its write."""
    operators = {operator: dict(fields) for operator, fields in update.items() if fields}
    operators["$set"] = {**operators.get("$set", {}), WRITE_ID: write_id}
    return operators


def definition(index: Index) -> Definition:
    """Return how to create an index. Its last key is `_id`, the second key of every order."""
    keys = [(path, 1) for path in index.fields]
    return keys if index.unique else [*keys, ("_id", 1)], index.unique, dict(index.partial or {})


def existing_definition(listed: Mapping[str, Any]) -> Definition:
    """Return the definition of an index that `listIndexes` reports."""
    partial = listed.get("partialFilterExpression", {})
    keys = [(path, int(direction)) for path, direction in listed["key"].items()]
    return keys, bool(listed.get("unique")), {path: _plain(condition) for path, condition in partial.items()}


def models(definitions: Mapping[str, Definition]) -> Iterator[IndexModel]:
    for name, (keys, unique, partial) in definitions.items():
        options: dict[str, Any] = {"partialFilterExpression": partial} if partial else {}
        yield IndexModel(keys, name=name, unique=unique, **options)


def _outside_lists(path: str, operator: str, value: Any) -> Query:
    if "." not in path:
        return {path: {operator: value}}
    if operator == "$ne":
        return {"$nor": [_outside_lists(path, "$eq", value)]}
    if operator == "$exists" and not value:
        return {"$nor": [_outside_lists(path, "$exists", True)]}
    return {path: {operator: value}, **_no_list_above(path)}


def _no_list_above(path: str) -> Query:
    names = path.split(".")
    return {".".join(names[:count]): {"$not": {"$type": "array"}} for count in range(1, len(names))}


def _plain(condition: Any) -> Any:
    return dict(condition) if isinstance(condition, Mapping) else condition
