"""What a browser sends with a page's form or in its query: texts, of which an empty one is a field not filled in."""

from typing import Any, TypeVar
from urllib.parse import parse_qsl

from flask import Request
from pydantic import ValidationError

from chassis.errors import InvalidInput
from chassis.schema import QueryParams
from chassis.web import problems
from chassis.web.problems import Problem

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 500
T = TypeVar("T", bound=QueryParams)


class Form(QueryParams):
    """The fields of a form: names in camelCase, all of it text, so numbers are parsed from their digits.

    A field named in `repeatable` may be there more than once; it is then a list of texts, else a text.
    """


class FormErrors(InvalidInput, kind="invalid", title="Invalid input"):
    """The form is not valid: `reasons` has the first reason of each field, "" of the form as a whole."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(*reasons.items())
        self.reasons = reasons


def read_fields(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form that are filled in.

    Raises Problem 400 (malformed), 413 (too many) or 415 (another media type).
    """
    if request.mimetype != MEDIA_TYPE:
        raise Problem(415, f"Send {MEDIA_TYPE}.")
    try:
        body = request.get_data().decode("ascii")
        pairs = parse_qsl(body, keep_blank_values=True, errors="strict")
    except ValueError:
        raise Problem(400, "The form is not in UTF-8 with percent-encoding.") from None
    if len(pairs) > MAX_FIELDS:
        raise Problem(413, f"A form has at most {MAX_FIELDS} fields.")
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:
            fields.setdefault(name, []).append(value)
    return fields


def read_form(model: type[T], fields: dict[str, list[str]]) -> T:
    """Return the form of this model. Raises FormErrors."""
    return _read(model, fields)


def read_query(model: type[T], request: Request) -> T:
    """Return the query of a page; a parameter that the page does not know, such as a campaign's, is left out.

    Raises FormErrors.
    """
    known = {field.alias or name for name, field in model.model_fields.items()}
    return _read(
        model,
        {
            name: filled
            for name, values in request.args.lists()
            if name in known and (filled := [value for value in values if value])
        },
    )


def _read(model: type[T], fields: dict[str, list[str]]) -> T:
    found: dict[str, Any] = {}
    for name, values in fields.items():
        if len(values) > 1 and name not in model.repeatable:
            raise FormErrors({name[:50]: "must be there once"})
        found[name] = values if len(values) > 1 else values[0]
    try:
        return model.read(found)
    except ValidationError as error:
        reasons: dict[str, str] = {}
        for each in problems.invalid_fields(error):
            reasons.setdefault(each["field"], each["reason"])
        raise FormErrors(reasons) from None


def as_typed(fields: dict[str, list[str]]) -> dict[str, str]:
    """Return the fields as the user typed them, to show them again; of a repeated one the first."""
    return {name: values[0] for name, values in fields.items()}
