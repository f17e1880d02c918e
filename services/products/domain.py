"""Rules of products: the limits of their texts, the price, and the words that a search finds."""

import re
import unicodedata
from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.errors import InvalidInput
from chassis.money import CURRENCIES, Money
from chassis.schema import MULTI_LINE, SINGLE_LINE

MAX_NAME_CHARS = 255
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS), SINGLE_LINE]
Description = Annotated[str, StringConstraints(max_length=5000), MULTI_LINE]
Category = Annotated[str, StringConstraints(max_length=100), SINGLE_LINE]
Stock = Annotated[int, Field(ge=0, le=1_000_000_000)]

MAX_SEARCH_WORDS = 200
"""Words of one product that are indexed."""
_BELOW_ANY_CHAR = "\x01"
"""Separates the parts of a key: a name has no control characters, and the store accepts no NUL."""


def check_currency(code: str) -> str:
    """Return the code. Raises ValueError if it is not one of ISO 4217."""
    if code not in CURRENCIES:
        raise ValueError(f"{code} is not an ISO 4217 currency")
    return code


def parse_price(amount: object, currency: str) -> Money:
    """Parse a price in its currency. Raises InvalidInput that names the wrong field."""
    try:
        return Money.parse(amount, currency)  # type: ignore[arg-type]
    except ValueError as error:
        field = "currency" if "ISO 4217" in str(error) else "price"
        raise InvalidInput((field, str(error))) from None


def name_key(name: str) -> str:
    """Return the text that orders names: without marks and case, then by the name itself."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return f"{plain.casefold()}{_BELOW_ANY_CHAR}{name}"


def search_words(*texts: str) -> list[str]:
    """Return the words that a search compares: case-folded, without accents, each once."""
    folded = unicodedata.normalize("NFKD", " ".join(texts)).casefold()
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    return list(dict.fromkeys(re.findall(r"\w+", plain)))[:MAX_SEARCH_WORDS]
