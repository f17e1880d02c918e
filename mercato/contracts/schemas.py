"""JSON Schemas of our models, made for readers: camelCase, and no title that only repeats a name."""

import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from chassis.schema import QueryParams, Schema

JsonSchema = dict[str, Any]
Mode = Literal["serialization", "validation"]
Use = tuple[type[Schema], Mode]
"""A model and its mode: a response is serialized; a body, a query and an event are validated."""

_REF_TEMPLATE = "#/components/schemas/{model}"
_EMPTY_DEFAULTS: tuple[Any, ...] = (None, "", [])


class _Generator(GenerateJsonSchema):
    def normalize_name(self, name: str) -> str:
        """Name a generic as people do: `OrderPage` for `Page[Order]`."""
        return super().normalize_name(re.sub(r"(\w+)\[(\w+)\]", r"\2\1", name))

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """A response holds all of its fields, also those with a default, but not one with `exclude_if`."""
        if self.mode == "serialization":
            return "serialization_exclude_if" not in field
        return super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Leave out an empty default: it marks a missing field, and need not be a value that a client may send."""
        described = super().default_schema(schema)
        if described.get("default") in _EMPTY_DEFAULTS:
            described.pop("default", None)
        return described

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """Keep the declared order: the type first, the fields as in the model."""
        return value


def schemas(uses: Iterable[Use]) -> tuple[dict[Use, JsonSchema], dict[str, JsonSchema]]:
    """Return a `$ref` for each use, and the definitions that these lead to."""
    listed = list(dict.fromkeys(uses))
    if not listed:
        return {}, {}
    refs, found = models_json_schema(listed, by_alias=True, ref_template=_REF_TEMPLATE, schema_generator=_Generator)
    definitions = {name: _untitled(schema) for name, schema in sorted(found["$defs"].items())}
    return {use: refs[use] for use in listed}, definitions


def schema_of(model: type[Schema], mode: Mode, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """Return the schema of a model itself; the models within it join `definitions`."""
    schema = model.model_json_schema(by_alias=True, ref_template=_REF_TEMPLATE, schema_generator=_Generator, mode=mode)
    definitions |= {name: _untitled(found) for name, found in schema.pop("$defs", {}).items()}
    return {word: value for word, value in _untitled(schema).items() if word != "description"}


def parameters(query: type[QueryParams]) -> list[JsonSchema]:
    """Return the fields of a query as OpenAPI parameters. None of them is nullable: a URL has no null."""
    schema = query.model_json_schema(by_alias=True, schema_generator=_Generator)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _not_null(field)}
        for name, field in schema.get("properties", {}).items()
    ]


def _untitled(schema: JsonSchema) -> JsonSchema:
    return {word: value for word, value in schema.items() if word != "title"}


def _not_null(schema: JsonSchema) -> JsonSchema:
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) != 1:
        return schema
    return {**{word: value for word, value in schema.items() if word != "anyOf"}, **branches[0]}
