"""The columns of a product CSV of Shopify, its rows, and the options of the products in them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.products.variant_rules import MAX_OPTION_CHARS, MAX_VARIANTS

COLUMNS = {
    "handle": ("Handle", "URL handle"),
    "title": ("Title",),
    "body": ("Body (HTML)", "Description"),
    "vendor": ("Vendor",),
    "type": ("Type", "Custom Product Type"),
    "tags": ("Tags",),
    "published": ("Published", "Published on online store"),
    "status": ("Status",),
    "gift_card": ("Gift Card",),
    "option1_name": ("Option1 Name",),
    "option2_name": ("Option2 Name",),
    "option3_name": ("Option3 Name",),
    "option1": ("Option1 Value",),
    "option2": ("Option2 Value",),
    "option3": ("Option3 Value",),
    "sku": ("Variant SKU", "SKU"),
    "price": ("Variant Price", "Price"),
    "quantity": ("Variant Inventory Qty", "Inventory quantity"),
    "tracker": ("Variant Inventory Tracker", "Inventory tracker"),
    "policy": ("Variant Inventory Policy", "Continue selling when out of stock"),
    "picture": ("Image Src", "Product image URL"),
    "alt": ("Image Alt Text",),
    "variant_picture": ("Variant Image", "Variant image URL"),
}
"""Meaning -> the names of the column that has it; other columns are ignored."""
MEANINGS = {name.lower(): meaning for meaning, names in COLUMNS.items() for name in names}
REQUIRED = ("handle", "title", "price")
_OPTIONS = ("option1", "option2", "option3")
_VARIANT = (*_OPTIONS, "sku", "price", "quantity")
"""A row with a value in one of these is a variant."""
_OPTION_NAMES = tuple(f"{option}_name" for option in _OPTIONS)
TEXTS = frozenset({"title", "body", "vendor", "type", "tags", "alt", *_OPTIONS, *_OPTION_NAMES})
NO_OPTION = "Default Title"
"""The option value of a product without variants."""


@dataclass
class Row:
    line: int
    cells: Mapping[str, str]
    control_characters: int

    def __getitem__(self, meaning: str) -> str:
        return self.cells.get(meaning, "")


def is_variant(row: Row) -> bool:
    """Return whether a row has the values of a variant."""
    return any(row[meaning] for meaning in _VARIANT)


def values(row: Row) -> list[str]:
    """Return the values of the options of a row, "" for each that it has none of."""
    return ["" if row[meaning] == NO_OPTION else row[meaning] for meaning in _OPTIONS]


def find_options(rows: Iterable[Row]) -> tuple[dict[str, list[str]], set[str]]:
    """Return the names of the options of each handle that has some, and the handles with too many variants."""
    variants: dict[str, list[Row]] = {}
    for row in rows:
        if is_variant(row):
            variants.setdefault(row["handle"], []).append(row)
    with_options = {handle: found for handle, found in variants.items() if any(any(values(row)) for row in found)}
    too_many = {handle for handle, found in with_options.items() if len(found) > MAX_VARIANTS}
    return {handle: _names(found) for handle, found in with_options.items() if handle not in too_many}, too_many


def _names(rows: Iterable[Row]) -> list[str]:
    names: list[str] = []
    for place, meaning in enumerate(_OPTION_NAMES, 1):
        name = next((name for row in rows if (name := one_line(row[meaning])[:MAX_OPTION_CHARS])), "")
        names.append(name if name and name not in names else f"Option {place}")
    return names


def one_line(text: str) -> str:
    return " ".join(text.split())
