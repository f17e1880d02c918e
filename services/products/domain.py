"""Rules of products: the limits of their texts, the price, and the words that a search finds."""

import re
import unicodedata
from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.errors import InvalidInput
from chassis.money import Money
from chassis.schema import MULTI_LINE, SINGLE_LINE

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), SINGLE_LINE]
Description = Annotated[str, StringConstraints(max_length=5000), MULTI_LINE]
Category = Annotated[str, StringConstraints(max_length=100), SINGLE_LINE]
Stock = Annotated[int, Field(ge=0, le=1_000_000_000)]

MAX_SEARCH_WORDS = 200
"""Words of one product that are indexed."""


def parse_price(amount: object, currency: str) -> Money:
    """Parse a price in its currency. Raises InvalidInput that names the wrong field."""
    try:
        return Money.parse(amount, currency)  # type: ignore[arg-type]
    except ValueError as error:
        field = "currency" if "ISO 4217" in str(error) else "price"
        raise InvalidInput((field, str(error))) from None


def search_words(*texts: str) -> list[str]:
    """Return the words that a search compares: case-folded, without accents, each once."""
    folded = unicodedata.normalize("NFKD", " ".join(texts)).casefold()
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    return list(dict.fromkeys(re.findall(r"\w+", plain)))[:MAX_SEARCH_WORDS]
