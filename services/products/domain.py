"""Rules of products: the limits of their texts, the price, and what a search finds them by."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints

from chassis.errors import InvalidInput
from chassis.money import CURRENCIES, Money
from chassis.schema import MULTI_LINE, SINGLE_LINE
from services.products import search_text

MAX_NAME_CHARS = 255
MAX_ALT_CHARS = 300
MAX_PICTURES = 20
"""Pictures of one product."""
PICTURE_URL = re.compile(r"https?://[!-~]{1,2000}")
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS), SINGLE_LINE]
Description = Annotated[str, StringConstraints(max_length=5000), MULTI_LINE]
Category = Annotated[str, StringConstraints(max_length=100), SINGLE_LINE]
Alt = Annotated[str, StringConstraints(max_length=MAX_ALT_CHARS), SINGLE_LINE]
"""Describes a picture to those who do not see it."""
PictureUrl = Annotated[str, StringConstraints(pattern=f"^{PICTURE_URL.pattern}$")]
Vendor = Annotated[str, StringConstraints(max_length=255), SINGLE_LINE]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=255), SINGLE_LINE]
Tags = Annotated[list[Tag], Field(max_length=100)]
Stock = Annotated[int, Field(ge=0, le=1_000_000_000)]

RESERVED_IDS = frozenset({"categories"})
"""Ids that no product can have: `/api/products/<id>` is another route."""
_BELOW_ANY_CHAR = "\x01"
"""Separates the parts of a key: a name has no control characters, and the store accepts no NUL."""


def check_currency(code: str) -> str:
    """Return the code. Raises ValueError if it is not one of ISO 4217."""
    if code not in CURRENCIES:
        raise ValueError(f"{code} is not an ISO 4217 currency")
    return code


def parse_price(amount: object, currency: str, field: str = "price") -> Money:
    """Parse a price in its currency. Raises InvalidInput that names the wrong field."""
    try:
        return Money.parse(amount, currency)  # type: ignore[arg-type]
    except ValueError as error:
        wrong = "currency" if "ISO 4217" in str(error) else field
        raise InvalidInput((wrong, str(error))) from None


def name_key(name: str) -> str:
    """Return the text that orders names: without marks and case, then by the name itself."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char))
    return f"{plain.casefold()}{_BELOW_ANY_CHAR}{name}"


@dataclass(frozen=True)
class Details:
    """What a product is called and described by; `vendor` is its brand, `options` are the values of its variants."""

    name: str
    description: str = ""
    category: str = ""
    vendor: str = ""
    tags: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def of(cls, product: Mapping[str, Any]) -> Self:
        """Return those of a stored product."""
        texts = {name: product[name] for name in ("name", "description", "category", "vendor")}
        options = (value for variant in product.get("variants", ()) for value in variant["options"])
        return cls(**texts, tags=tuple(product["tags"]), options=tuple(dict.fromkeys(options)))

    def stored(self) -> dict[str, Any]:
        """Return the stored fields, with those that lists and searches read."""
        return {
            "name": self.name,
            "description": self.description,
            "category": self.category,
            "vendor": self.vendor,
            "tags": list(dict.fromkeys(self.tags)),
            "nameKey": name_key(self.name),
            **self.search_fields(),
        }

    def search_fields(self) -> dict[str, list[str]]:
        """Return the words and prefixes by which a search finds the product."""
        main = search_text.split(self.name, self.category, self.vendor, *self.options)
        return {
            "words": search_text.indexed_words(self.words()),
            "prefixes": search_text.indexed_prefixes(main[: search_text.MAX_WORDS]),
        }

    def words(self) -> list[str]:
        """Return all words, the most important first."""
        return search_text.split(self.name, self.category, self.vendor, *self.tags, *self.options, self.description)
