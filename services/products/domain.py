"""What makes a product: how long its texts may be, a price that its currency can hold, the words it is found by."""

import re
import unicodedata
from typing import Annotated

from pydantic import Field, StringConstraints

from chassis.errors import InvalidInput
from chassis.money import Money
from chassis.schema import CLEAN, CLEAN_LINES

Name = Annotated[str, StringConstraints(min_length=1, max_length=200), CLEAN]
Description = Annotated[str, StringConstraints(max_length=5000), CLEAN_LINES]
Category = Annotated[str, StringConstraints(max_length=100), CLEAN]
Stock = Annotated[int, Field(ge=0, le=1_000_000_000)]

LONGEST_INDEX = 200
"""Words of a product that are found at the most."""


def price(amount: object, currency: str) -> Money:
    """Raises InvalidInput, naming the field that is wrong."""
    try:
        return Money.parse(amount, currency)  # type: ignore[arg-type]
    except ValueError as error:
        field = "currency" if "ISO 4217" in str(error) else "price"
        raise InvalidInput((field, str(error))) from None


def words(*texts: str) -> list[str]:
    """The words of some texts as they are searched: folded, without accents, each once."""
    folded = unicodedata.normalize("NFKD", " ".join(texts)).casefold()
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    return list(dict.fromkeys(re.findall(r"\w+", plain)))[:LONGEST_INDEX]
