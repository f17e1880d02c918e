"""The public routes, read from the committed OpenAPI documents: a new route is tested without an edit."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from mercato.catalog import catalog
from mercato.contracts.files import SERVICES

Schema = dict[str, Any]

JSON = "application/json"
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One operation of a document, with every `$ref` resolved."""

    service: str
    method: str
    path: str
    described: Schema

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_public(self) -> bool:
        return {} in (self.described["security"] or [{}]) and not self.takes_any_caller

    @property
    def takes_any_caller(self) -> bool:
        """Whether a request needs no access token, and is that of a user if it has one."""
        return {} in self.described["security"] and {"bearer": []} in self.described["security"]

    @property
    def is_for_administrators(self) -> bool:
        return self.described["security"] == [{"bearer": ["admin"]}]

    @property
    def body(self) -> Schema | None:
        """The schema of the JSON body, or None."""
        schema: Schema | None = self._content.get(JSON, {}).get("schema")
        return schema

    @property
    def is_signed(self) -> bool:
        """Whether a third party signs the body, which the handler reads as it is; its service has tests of that."""
        return self.body is not None and "contentMediaType" in self.body

    @property
    def media_type(self) -> str:
        """The first media type of the body."""
        return next(iter(self._content), JSON)

    @property
    def takes_file(self) -> bool:
        """Whether the body is a file instead of JSON."""
        return bool(self._content) and JSON not in self._content

    @property
    def _content(self) -> Schema:
        content: Schema = self.described.get("requestBody", {}).get("content", {})
        return content

    @property
    def needs_query(self) -> bool:
        return any(each["in"] == "query" and each["required"] for each in self.described.get("parameters", ()))

    @property
    def successes(self) -> list[int]:
        return [int(status) for status in self.described["responses"] if int(status) < 400 and status != "304"]

    def parameters(self, place: str) -> dict[str, Schema]:
        """Return name -> schema of the parameters in `path`, `query` or `header`."""
        return {each["name"]: each["schema"] for each in self.described.get("parameters", ()) if each["in"] == place}


@cache
def document(service: str) -> Schema:
    """Return the committed document of a service."""
    found: Schema = yaml.safe_load((SERVICES / service / "contract" / "openapi.yaml").read_text(encoding="utf-8"))
    return found


@cache
def routes() -> list[Route]:
    """Return every public route of the platform."""
    return [
        Route(service, method.upper(), path, _resolved(operations[method], document(service)))
        for service in catalog()
        if (SERVICES / service / "contract" / "openapi.yaml").exists()
        for path, operations in document(service)["paths"].items()
        for method in METHODS
        if method in operations
    ]


def fields(schema: Schema, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Schema]]:
    """Yield each field of a body with its place, such as ("items", 0, "quantity")."""
    schema = plain(schema)
    if at:
        yield at, schema
    for name, field in schema.get("properties", {}).items():
        yield from fields(field, (*at, name))
    if "items" in schema:
        yield from fields(schema["items"], (*at, 0))


def plain(schema: Schema) -> Schema:
    """Return a nullable schema as its other branch, marked `nullable`."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    return {**branches[0], "nullable": True} if len(branches) == 1 else schema


def _resolved(value: Any, root: Schema) -> Any:
    if isinstance(value, list):
        return [_resolved(each, root) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        found: Any = root
        for name in value["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return _resolved(found, root)
    return {name: _resolved(each, root) for name, each in value.items()}
