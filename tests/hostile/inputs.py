"""The hostile requests to each route: every value of the table in every field, parameter and header."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from chassis.web.bodies import MAX_BODY_BYTES, MAX_IMAGE_BYTES
from tests.hostile import values
from tests.hostile.contract import Route, fields
from tests.hostile.values import EITHER, MALFORMED, REJECTED

_HOLE = "\x00hole\x00"


@dataclass(frozen=True)
class Input:
    """A request to `target` (path and query), and the `statuses` of which one is correct."""

    what: str
    target: str
    statuses: tuple[int, ...]
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def fingerprint(self, route: Route) -> tuple[Any, ...]:
        """Return what is equal for requests that are equal on the wire."""
        return route.method, self.target, self.body, tuple(sorted(self.headers.items()))


def inputs(route: Route, target: str, example: Any) -> Iterator[Input]:
    """Yield the hostile requests to a route whose valid requests have this target and body."""
    good = example if example is None or isinstance(example, bytes) else json.dumps(example).encode()
    yield from _paths(route, good)
    yield from _queries(route, target, good)
    yield from _headers(route, target, good)
    if route.body:
        yield from _fields(route, target, example)
        yield from _bodies(route, target, good or b"")
    if route.media_type.startswith("image/"):
        yield from _pictures(target)


def _paths(route: Route, good: bytes | None) -> Iterator[Input]:
    if "{id}" in route.path:
        for id in values.INVALID_IDS_IN_PATHS:
            yield Input("an invalid id", route.path.replace("{id}", id), (404, 400), good)
    for slashes in ("/" + route.path, route.path.replace("/api/", "/api//"), route.path + "/", route.path + "%2f"):
        yield Input("slashes", slashes.replace("{id}", "an-id"), (404, 405), good)


def _queries(route: Route, target: str, good: bytes | None) -> Iterator[Input]:
    taken = route.parameters("query")
    for query in values.UNKNOWN_QUERIES:
        yield Input("an unknown query", f"{target}?{query}", REJECTED, good)
    for name, described in taken.items():
        schema = described["anyOf"][0] if "anyOf" in described else described
        is_repeatable = schema is not described
        bad = values.INVALID_LIMITS if schema["type"] == "integer" else values.INVALID_QUERY_TEXT
        bad = [*bad, *(values.INVALID_CURSORS if name == "cursor" else ())]
        if "maxLength" in schema:
            bad = [*bad, "x" * (schema["maxLength"] + 1)]
        if "enum" in schema or "pattern" in schema:
            bad = [*bad, "x%20x", "$gt", "%C3%A9", "a%0A", "a.b"]
        if schema.get("minLength") or "enum" in schema or "pattern" in schema:
            bad = [*bad, ""]
        for value in bad:
            yield Input(f"an invalid {name}", f"{target}?{name}={value}", REJECTED, good)
        twice = () if is_repeatable else (f"=1&{name}=1", f"=&{name}=")
        for more in (*twice, "[$ne]=1", "[]=1", "[$regex]=.*", ".x=1"):
            yield Input(f"{name} twice or as a list", f"{target}?{name}{more}", REJECTED, good)


def _headers(route: Route, target: str, good: bytes | None) -> Iterator[Input]:
    taken = route.parameters("header")
    if "Idempotency-Key" in taken:
        for key in values.INVALID_KEYS:
            yield Input("an invalid key", target, MALFORMED, good, {"Idempotency-Key": key})
    if "If-Match" in taken:
        for version in values.INVALID_VERSIONS:
            yield Input("an invalid version", target, (412,), good, {"If-Match": version})
    if "If-None-Match" in taken:
        for condition in values.UNMET_CONDITIONS:
            yield Input("an unmet condition", target, (200,), good, {"If-None-Match": condition})


def _fields(route: Route, target: str, example: Any) -> Iterator[Input]:
    for place, schema in fields(route.body or {}):
        name = str(place[-1])
        for text, statuses in values.invalid_values(name, schema):
            body = json.dumps(_put(example, place, _HOLE)).replace(json.dumps(_HOLE), text)
            yield Input(f"{place} = {text[:40]}", target, statuses, body.encode("utf-8", "surrogatepass"))
    known = (route.body or {})["properties"]
    for name in (name for name in values.UNKNOWN_FIELDS if name not in known):
        for value in (True, "admin", {"$set": 1}):
            yield Input(f"unknown field {name!r}", target, REJECTED, json.dumps({**example, name: value}).encode())
    for shape in values.WRONG_SHAPES:
        yield Input("wrong shape", target, REJECTED, shape.encode())


def _bodies(route: Route, target: str, good: bytes) -> Iterator[Input]:
    for raw in values.NOT_JSON:
        if raw or route.method != "DELETE":  # which may leave out its body
            yield Input("invalid JSON", target, MALFORMED, raw)
    for kind in values.WRONG_MEDIA_TYPES:
        yield Input("wrong media type", target, (415,), good, {"Content-Type": kind})
    for coding in values.CONTENT_CODINGS:
        yield Input("compressed", target, (415,), good, {"Content-Encoding": coding})
    large = good[:-1] + b" " * (MAX_BODY_BYTES + 1 - len(good)) + good[-1:]
    yield Input("too large", target, (413,), large)
    yield Input("too large, in chunks", target, (413,), large, {"Transfer-Encoding": "chunked"})
    yield Input("fields twice", target, EITHER, b"{" + good[1:-1] + b"," + good[1:])


def _pictures(target: str) -> Iterator[Input]:
    for raw in values.NO_PICTURES:
        yield Input("no picture", target, (422,), raw)
    for kind in ("application/json", "image/svg+xml", "image/gif", "text/html", "", *values.WRONG_MEDIA_TYPES):
        yield Input("wrong media type", target, (415,), values.PICTURE, {"Content-Type": kind})
    for coding in values.CONTENT_CODINGS:
        yield Input("compressed", target, (415,), values.PICTURE, {"Content-Encoding": coding})
    yield Input("too large", target, (413,), values.PICTURE + b" " * MAX_IMAGE_BYTES)


def _put(example: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Return the example with this value at its place."""
    name, *rest = place
    if not rest:
        return {**example, name: value}
    if name not in example:  # items stand in the place of one item
        return {name: [{rest[1]: value} if len(rest) > 1 else value]}
    (item,) = example[name]
    return {**example, name: [{**item, rest[1]: value} if len(rest) > 1 else value]}
