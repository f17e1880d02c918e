"""The JSON Schemas of wire models, as people like to read them: camelCase, and no title that only repeats a name."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from chassis.schema import QueryParams, Schema

JsonSchema = dict[str, Any]
Mode = Literal["serialization", "validation"]
Use = tuple[type[Schema], Mode]
"""A model and the side it is seen from: an answer is serialized; a body, a query and an event are validated."""

_LEFT_OUT: tuple[Any, ...] = (None, "", [])


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """An answer holds all of its fields, also those that have a default."""
        return self.mode == "serialization" or super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """An empty default only marks what was left out; it need not be a value that a client may send."""
        described = super().default_schema(schema)
        if described.get("default") in _LEFT_OUT:
            described.pop("default", None)
        return described

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        """As it was declared: the type first, the fields in the order of the model."""
        return value


def schemas(uses: Iterable[Use]) -> tuple[dict[Use, JsonSchema], dict[str, JsonSchema]]:
    """A `$ref` for each use, and the definitions, by name, that these lead to."""
    listed = list(dict.fromkeys(uses))
    if not listed:
        return {}, {}
    refs, found = models_json_schema(
        listed, by_alias=True, ref_template="#/components/schemas/{model}", schema_generator=_Generator
    )
    definitions = {name: _untitled(schema) for name, schema in sorted(found["$defs"].items())}
    return {use: refs[use] for use in listed}, definitions


def parameters(query: type[QueryParams]) -> list[JsonSchema]:
    """The fields of a query as OpenAPI parameters. None of them can be null: a URL has no word for it."""
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
