"""The public routes, read from the committed OpenAPI documents: a new route is tested without an edit."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from mercato.catalog import catalog
from mercato.contracts.files import SERVICES

Schema = dict[str, Any]

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
        return {} in (self.described["security"] or [{}])

    @property
    def is_for_administrators(self) -> bool:
        return self.described["security"] == [{"bearer": ["admin"]}]

    @property
    def body(self) -> Schema | None:
        """The schema of the body, or None."""
        content = self.described.get("requestBody", {}).get("content", {})
        return content["application/json"]["schema"] if content else None

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
