"""Data as they travel over HTTP and the log: camelCase, exact types, and the few kinds of field that all share."""

import re
import unicodedata
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Schema(BaseModel):
    """What one service tells another: frozen; a reader ignores fields that it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, strict=True)

    @classmethod
    def read(cls, data: Any) -> Self:
        """From camelCase data. Raises pydantic's ValidationError."""
        return cls.model_validate(data, strict=False, by_alias=True, by_name=False)

    def data(self) -> dict[str, Any]:
        """As camelCase data, without what is not there."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class RequestBody(Schema):
    """What a client sends: exact types, and a field that is not known is an error."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def read(cls, data: Any) -> Self:
        return cls.model_validate(data, strict=True, by_alias=True, by_name=False)


class QueryParams(Schema):
    """The query of a URL: all of it text, so numbers are read from their digits."""

    model_config = ConfigDict(extra="forbid", strict=False)


def _line(text: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ValueError("must not contain control characters")
    return text


def _lines(text: str) -> str:
    _line(text.translate(dict.fromkeys(map(ord, "\t\n\r"))))
    return text


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("must be a decimal number, such as 699.99")
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,6})?", value):
        raise ValueError("must be a decimal number, such as 699.99")
    number = Decimal(value)
    if not 0 <= number < 10**12 or number.as_tuple().exponent < -6:  # type: ignore[operator]
        raise ValueError("must be from 0 to 999999999999 with the currency's decimal places")
    return number


Id = Annotated[str, StringConstraints(pattern=rf"^{ID.pattern}$")]
CLEAN, CLEAN_LINES = AfterValidator(_line), AfterValidator(_lines)
"""Text without control characters, in one line or in several; stands after the length, so that its error is plain."""
Amount = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    WithJsonSchema({"type": ["string", "number"], "description": "A decimal, read exactly", "examples": ["699.99"]}),
]
Decimals = Annotated[str, Field(description="A decimal of the currency", examples=["699.99"])]
Timestamp = Annotated[
    str, Field(description="RFC 3339 in UTC with milliseconds", examples=["2026-01-31T12:00:00.000Z"])
]
