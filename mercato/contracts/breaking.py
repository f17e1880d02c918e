"""Breaking changes between two versions of a contract: what fails for a client, caller or consumer of the old one.

    a response, reply or event, read by others: the old schema must allow every value of the new one
    a body, query or command, sent by others:   the new schema must allow every value of the old one

Releases run side by side during an upgrade, and what the old one stored outlives it. So events and the data of sagas,
which the new release reads, and commands, which it sends to the old one, must fit in the other direction, too.

Each is one question: is every value of one schema a value of the other? New errors never break a contract. An open
enumeration (`x-extensible-enum`) may get values, and loses none: its readers accept any text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chassis.messages import ANY_SERVICE

Document = dict[str, Any]
JsonSchema = dict[str, Any]

_OPEN = "x-extensible-enum"
_METHODS = ("get", "post", "put", "patch", "delete")
_LOWEST = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_HIGHEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def changes(old: Document, new: Document) -> list[str]:
    """Return a sentence for each breaking change, in the order of the old document. Both are of one kind."""
    compare = next(compare for kind, compare in _COMPARISONS.items() if kind in old)
    return list(dict.fromkeys(compare(old, new)))


def _openapi(old: Document, new: Document) -> Iterator[str]:
    for path, methods in old["paths"].items():
        for method in (method for method in _METHODS if method in methods):
            name = f"{method.upper()} {path}"
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                yield f"{name} is gone"
                continue
            yield from _sent(methods[method], now, name, _Within(old, new))
            yield from _received(methods[method], now, name, _Within(new, old, small_is_new=True))


def _asyncapi(old: Document, new: Document) -> Iterator[str]:
    now, within = _messages(new), _Within(new, old, small_is_new=True)
    for type, (channel, message) in _messages(old).items():
        if type not in now:
            yield f"{type} is gone"
            continue
        if now[type][0] != channel:
            yield f"{type}: goes to {now[type][0]}"
        for part in ("headers", "payload"):
            was, present = message.get(part, {}), now[type][1].get(part, {})
            yield from within.flaws(present, was, f"{type} {part}")
            stored = _Within(old, new, is_written=True)
            yield from stored.flaws(was, present, f"{type}: in the {part} of a stored event,")
        if now[type][1].get("bindings") != message.get("bindings"):
            yield f"{type}: has another key"


def _commands(old: Document, new: Document) -> Iterator[str]:
    for name, command in old["operations"].items():
        now = new["operations"].get(name)
        if now is None:
            yield f"{name} is gone"
            continue
        if now["path"] != command["path"]:
            yield f"{name}: is at {now['path']}"
        if command["readOnly"] and not now["readOnly"]:
            yield f"{name}: is no longer read-only"
        lost = set(command.get("callers", ())) - set(now["callers"])  # release 0.2.0 did not record them
        if lost and ANY_SERVICE not in now["callers"]:
            yield f"{name}: rejects {', '.join(sorted(lost))}"
        from_old, to_old = _Within(old, new, is_written=True), _Within(new, old, small_is_new=True, is_written=True)
        yield from from_old.flaws(command["request"], now["request"], f"{name}: an old request's")
        yield from _Within(new, old, small_is_new=True).flaws(now["reply"], command["reply"], f"{name} reply")
        at = f"{name}: for a service of the release before, a request's"
        yield from to_old.flaws(now["request"], command["request"], at)
        yield from from_old.flaws(command["reply"], now.get("readAs", now["reply"]), f"{name}: in an old reply,")


def _sagas(old: Document, new: Document) -> Iterator[str]:
    for name, versions in old["definitions"].items():
        for version, was in versions.items():
            now, at = new["definitions"].get(name, {}).get(version), f"{name} {version}"
            if now is None:
                yield f"{at} is gone: its open sagas would wait forever"
                continue
            names = [", ".join(step["name"] for step in each["steps"]) for each in (was, now)]
            if names[0] != names[1]:
                yield f"{at}: its steps are {names[1]}, not {names[0]}; give them a higher version"
                continue
            for step, present in zip(was["steps"], now["steps"], strict=True):
                for action in ("do", "undo"):
                    if step.get(action) not in (None, present.get(action)):
                        yield f"{at} {step['name']}: {action} is {present.get(action, 'gone')}, not {step[action]}"
            from_old, to_old = _Within(old, new, is_written=True), _Within(new, old, small_is_new=True, is_written=True)
            yield from from_old.flaws(was["data"], now["data"], f"{at}: in stored data,")
            yield from to_old.flaws(now["data"], was["data"], f"{at}: for a driver of the release before,")


_COMPARISONS = {"openapi": _openapi, "asyncapi": _asyncapi, "commands": _commands, "sagas": _sagas}


def _messages(document: Document) -> dict[str, tuple[str, JsonSchema]]:
    """Return message name -> (address of its channel, message) of what the service sends."""
    return {
        message["$ref"].rpartition("/")[2]: (_at(document, operation["channel"])["address"], _at(document, message))
        for operation in document["operations"].values()
        if operation["action"] == "send"
        for message in operation["messages"]
    }


def _sent(old: JsonSchema, new: JsonSchema, name: str, within: "_Within") -> Iterator[str]:
    if added := _rights(new) - _rights(old):
        yield f"{name}: needs {', '.join(sorted(added))}"
    yield from within.flaws(_parameters(old, within.small), _parameters(new, within.large), f"{name}: an old request's")
    before, now = (each.get("requestBody", {}).get("content", {}) for each in (old, new))
    if before and not now:
        yield f"{name}: takes no body any more"
    if now and not before and new["requestBody"].get("required"):
        yield f"{name}: wants a body"
    for kind in before if now else ():
        if kind in now:
            yield from within.flaws(before[kind]["schema"], now[kind]["schema"], f"{name}: an old body's")
        else:
            yield f"{name}: takes no {kind} any more"


def _received(old: JsonSchema, new: JsonSchema, name: str, within: "_Within") -> Iterator[str]:
    """Compare only the successful responses.

    Errors may be added and removed, and a client must expect any; a 304 answers only a request with If-None-Match.
    """
    before, now = ({s: r for s, r in each["responses"].items() if s < "400" and s != "304"} for each in (old, new))
    for status in sorted(before.keys() ^ now.keys()):
        yield f"{name}: {'no longer' if status in before else 'now'} answers {status}"
    for status in (status for status in before if status in now):
        was, answer = _at(within.large, before[status]), _at(within.small, now[status])
        for header in sorted(was.get("headers", {}).keys() - answer.get("headers", {}).keys()):
            yield f"{name} {status}: no longer has {header}"
        for kind, held in was.get("content", {}).items():
            if kind in answer.get("content", {}):
                yield from within.flaws(answer["content"][kind]["schema"], held["schema"], f"{name} {status}")
            else:
                yield f"{name} {status}: is no {kind} any more"


def _rights(operation: JsonSchema) -> set[str]:
    """Return the security schemes and roles that a caller needs."""
    needed = operation["security"][0] if operation.get("security") else {}
    return {*needed} | {f"{scheme} {role}" for scheme, roles in needed.items() for role in roles}


def _parameters(operation: JsonSchema, document: Document) -> JsonSchema:
    """Return the parameters as the fields of one closed object."""
    listed = [_at(document, parameter) for parameter in operation.get("parameters", ())]
    named = {f"{parameter['in']} {parameter['name']}": parameter for parameter in listed}
    return {
        "type": "object",
        "properties": {name: parameter["schema"] for name, parameter in named.items()},
        "required": [name for name, parameter in named.items() if parameter["required"]],
        "additionalProperties": False,
    }


def _at(document: Document, schema: JsonSchema) -> JsonSchema:
    """Return the schema, or the one that its `$ref` leads to."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        schema = found
    return schema


@dataclass(frozen=True)
class _Within:
    """Whether every value of a schema in `small` is one of a schema in `large`; when unsure, not."""

    small: Document
    large: Document
    small_is_new: bool = False
    is_written: bool = False
    """Whether a service wrote the values of `small`: then they have no other fields than its own."""

    def flaws(self, small: JsonSchema, large: JsonSchema, at: str) -> list[str]:
        """Return why a value of `small` may not be one of `large`; empty if every value is."""
        found: list[str] = []
        for one in _branches(self.small, small):
            tries = [list(self._flaws(one, other, at)) for other in _branches(self.large, large)]
            nearest = min(tries, key=len)
            found += nearest
        return list(dict.fromkeys(found))

    def _flaws(self, small: JsonSchema, large: JsonSchema, at: str) -> Iterator[str]:
        kinds = small.get("type"), large.get("type")
        if kinds[1] and kinds[0] != kinds[1] and kinds != ("integer", "number"):
            yield f"{at} may be {kinds[0] or 'anything'}, not only {kinds[1]}"
            return
        if _OPEN in small or _OPEN in large:
            was, now = (large, small) if self.small_is_new else (small, large)
            kept = now.get(_OPEN) or _values(now) or []
            if _OPEN not in was and self.small_is_new:
                kept = _values(was) or []  # a closed enumeration in what others read may lose values
            if gone := [str(value) for value in was.get(_OPEN) or _values(was) or [] if value not in kept]:
                yield f"{at} no longer has {', '.join(gone)}"
        elif (allowed := _values(large)) is not None:
            values = _values(small)
            extra = "any value" if values is None else ", ".join(str(value) for value in values if value not in allowed)
            if extra:
                yield f"{at} may be {extra}"
        yield from _bounds(small, large, at)
        if "items" in large:
            yield from self.flaws(small.get("items", {}), large["items"], f"{at}[]")
        if kinds[0] == "object":
            yield from self._fields(small, large, at)

    def _fields(self, small: JsonSchema, large: JsonSchema, at: str) -> Iterator[str]:
        fields, known = small.get("properties", {}), large.get("properties", {})
        rest = small.get("additionalProperties", not self.is_written)
        allowed = large.get("additionalProperties", True)
        required, given = large.get("required", ()), small.get("required", ())
        for name, field in ({name: {} for name in required} | known).items():
            if name not in fields and rest is not False:
                yield f"{at} {name} is gone"
            elif name in required and name not in given:
                yield f"{at} {name} may be missing"
            if name in fields:
                yield from self.flaws(fields[name], field, f"{at} {name}")
        if allowed is not True:
            for name in sorted(fields.keys() - known.keys()):
                yield f"{at} {name} is not known"
            if isinstance(rest, dict) and isinstance(allowed, dict):
                yield from self.flaws(rest, allowed, f"{at} other fields")
            elif rest is not False:
                yield f"{at} may have fields that are not known"


def _branches(document: Document, schema: JsonSchema) -> list[JsonSchema]:
    """Return the alternatives of a schema, each with one type."""
    schema = _at(document, schema)
    if "anyOf" in schema:
        rest = {word: value for word, value in schema.items() if word != "anyOf"}
        return [branch for each in schema["anyOf"] for branch in _branches(document, {**rest, **_at(document, each)})]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": type} for type in schema["type"]]
    return [schema]


def _bounds(small: JsonSchema, large: JsonSchema, at: str) -> Iterator[str]:
    for word in ("pattern", "format"):
        if word in large and small.get(word) != large[word]:
            yield f"{at}: another {word}"
    for words, sign in ((_LOWEST, 1), (_HIGHEST, -1)):
        for word in (word for word in words if word in large):
            if word not in small or small[word] * sign < large[word] * sign:
                yield f"{at}: {word} is {small.get(word, 'nothing')}, not {large[word]}"


def _values(schema: JsonSchema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")
