"""Data over HTTP and the message bus: camelCase names, exact types, and the field types that all services share."""

import re
import unicodedata
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from chassis.money import Money

ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Schema(BaseModel):
    """Data that a service sends: frozen. A reader ignores unknown fields."""

    # The text of an error is logged, and its input may be the payment token beside a field that is missing.
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, frozen=True, strict=True, hide_input_in_errors=True
    )

    @classmethod
    def read(cls, data: Any) -> Self:
        """Parse camelCase data. Raises pydantic's ValidationError."""
        return cls.model_validate(data, strict=False, by_alias=True, by_name=False)

    def to_json(self) -> bytes:
        """Return camelCase JSON, with the fields that are None."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)

    def to_compact_json(self) -> bytes:
        """Return camelCase JSON without the fields that are None."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True, exclude_none=True)

    def data(self) -> dict[str, Any]:
        """Return camelCase data without the fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class SagaData(Schema):
    """The data of a saga, as it is stored: the names of its own fields are those of the code."""

    model_config = ConfigDict(alias_generator=None)


class RequestBody(Schema):
    """Data that a client sends: exact types, and no unknown fields."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def read(cls, data: Any) -> Self:
        return cls.model_validate(data, strict=True, by_alias=True, by_name=False)


class QueryParams(Schema):
    """The query of a URL: all of it is text, so numbers are parsed from their digits.

    A parameter named in `repeatable` may be there more than once; it is then a list of texts, else a text.
    """

    repeatable: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(extra="forbid", strict=False)


def _check_single_line(text: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise ValueError("must not contain control characters")
    return text


def _check_multi_line(text: str) -> str:
    _check_single_line(text.translate(dict.fromkeys(map(ord, "\t\n\r"))))
    return text


def _parse_decimal(largest: int, value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("must be a decimal number, such as 699.99")
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,6})?", value):
        raise ValueError("must be a decimal number, such as 699.99")
    number = Decimal(value)
    if not 0 <= number < largest + 1 or number.as_tuple().exponent < -6:  # type: ignore[operator]
        raise ValueError(f"must be from 0 to {largest} with the currency's decimal places")
    return number


def growing(*values: str) -> WithJsonSchema:
    """Return the annotation of a text that is one of these values now, and may be another one in a later release.

    Readers accept any text. The contract lists the values as `x-extensible-enum`: they are added, and never removed.
    """
    return WithJsonSchema({"type": "string", "x-extensible-enum": [*values]})


Id = Annotated[str, StringConstraints(pattern=rf"^{ID.pattern}$")]
SINGLE_LINE, MULTI_LINE = AfterValidator(_check_single_line), AfterValidator(_check_multi_line)
"""Text without control characters, in one line or in several. Put it after the length, whose error is plainer."""
_DECIMAL = WithJsonSchema(
    {"type": ["string", "number"], "description": "A decimal, read exactly", "examples": ["699.99"]}
)
Amount = Annotated[Decimal, BeforeValidator(partial(_parse_decimal, 10**12 - 1)), _DECIMAL]
Total = Annotated[Decimal, BeforeValidator(partial(_parse_decimal, Money.MAX_MINOR)), _DECIMAL]
"""The total of an order: that of a currency without decimal places may be larger than one `Amount`."""
DecimalString = Annotated[str, Field(description="A decimal of the currency", examples=["699.99"])]
Timestamp = Annotated[
    str, Field(description="RFC 3339 in UTC with milliseconds", examples=["2026-01-31T12:00:00.000Z"])
]
