"""Rules of variants: their options and names, and what a product with variants shows of them.

    product   {_id: "camp-mug__product", optionNames: ["Size"], price: the lowest, stock: the sum, variants: [
                  {id: "camp-mug", options: ["Small"], sku, price, stock, picture, state: planned, open or deleted},
                  {id: "camp-mug_large", ...}], variantsChanges, variantsDue: "2026-...", isListed}
    variant   {_id: "camp-mug", parentId: "camp-mug__product", options: ["Small"], sku, price, stock, isListed: false}

The list of a product is stored before its variants: what is planned there is inserted by the request, or by a job.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import StringConstraints

from chassis.errors import DomainError, ErrorCategory, InvalidInput
from chassis.schema import SINGLE_LINE
from services.products import domain

MAX_VARIANTS, MAX_OPTIONS, MAX_OPTION_CHARS = 100, 3, 100
"""Variants of one product, what they may differ in, and the length of the name or value of an option."""
PLANNED, OPEN, DELETED = "planned", "open", "deleted"
OptionText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_OPTION_CHARS), SINGLE_LINE]
Sku = Annotated[str, StringConstraints(max_length=255), SINGLE_LINE]
Entry = dict[str, Any]
"""A variant in the list of its product."""
_SHARED_BY_VARIANTS = ("name", "description", "category", "vendor", "tags", "published", "currency")
_OF_EACH_VARIANT = ("price", "sku")


class HasVariants(DomainError, category=ErrorCategory.INVALID):
    """The product has variants, one of which is meant."""

    def __init__(self, id: str) -> None:
        super().__init__(f"The product {id} has variants. Use the id of one of them.", productId=id)


@dataclass(frozen=True)
class NewVariant:
    """A variant to add: `options` are its values in the order of the product's options, `price` is in minor units."""

    id: str
    options: tuple[str, ...]
    price: int
    stock: int
    sku: str = ""

    def entry(self) -> Entry:
        """Return its entry in the list of its product."""
        return {
            "id": self.id,
            "options": [*self.options],
            "sku": self.sku,
            "price": self.price,
            "stock": self.stock,
            "picture": None,
            "state": PLANNED,
        }


WantedVariant = tuple[Mapping[str, str], NewVariant]
"""The options of an imported variant by their names, and the variant; its own `options` are not read."""


def merged(parent: Mapping[str, Any] | None, wanted: Sequence[WantedVariant]) -> tuple[list[str], list[Entry]]:
    """Return the options and the list of a product, with these variants added or with their present options.

    An option that no variant has a value of is dropped. Raises InvalidInput if there are too many.
    """
    old_names: list[str] = parent["optionNames"] if parent else []
    names = list(dict.fromkeys([*old_names, *(name for options, _ in wanted for name in options)]))
    entries = {entry["id"]: entry for entry in (parent["variants"] if parent else ())}
    values = {id: dict(zip(old_names, entry["options"], strict=True)) for id, entry in entries.items()}
    for options, variant in wanted:
        entries.setdefault(variant.id, variant.entry())
        values[variant.id] = dict(options)
    names = [name for name in names if any(found.get(name) for found in values.values())]
    if len(entries) > MAX_VARIANTS:
        raise InvalidInput(("parentId", f"the product would have more than {MAX_VARIANTS} variants"))
    if len(names) > MAX_OPTIONS:
        raise InvalidInput(("options", f"the product would have more than {MAX_OPTIONS} options"))
    return names, [{**entry, "options": [values[id].get(name, "") for name in names]} for id, entry in entries.items()]


def option_names(variants: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Return what the variants differ in. Raises InvalidInput for the first that differs in something else."""
    names = tuple(variants[0])
    taken: dict[tuple[str, ...], int] = {}
    for place, options in enumerate(variants):
        if options.keys() != {*names} or not names:
            raise InvalidInput((f"variants[{place}].options", f"must have a value for each of {', '.join(names)}"))
        values = tuple(options[name].casefold() for name in names)
        if (other := taken.setdefault(values, place)) != place:
            raise InvalidInput((f"variants[{place}].options", f"are those of variants[{other}]"))
    return names


def full_name(name: str, options: Iterable[str]) -> str:
    """Return the name under which a variant is ordered: that of the product and its options, shortened if need be."""
    suffix = " / ".join(option for option in options if option)
    full = f"{name} - {suffix}" if suffix else name
    if not suffix or len(full) <= domain.MAX_NAME_CHARS:
        return full
    suffix = suffix[: domain.MAX_NAME_CHARS // 2]
    left = domain.MAX_NAME_CHARS - len(f" - {suffix}")
    return f"{name if len(name) <= left else name[: left - 1] + '…'} - {suffix}"


def current(entry: Entry, variant: Mapping[str, Any] | None) -> Entry:
    """Return the entry of a variant as it is stored; None: its stock was closed before, so it was never stored."""
    if variant is None:
        return {**entry, "state": DELETED}
    return {
        **entry,
        "sku": variant["sku"],
        "price": variant["price"],
        "stock": variant["stock"],
        "picture": variant["pictures"][0] if variant["pictures"] else None,
        "state": DELETED if variant["deleted"] else OPEN,
    }


def shown(entries: Iterable[Entry]) -> list[Entry]:
    """Return the variants that can be ordered, as far as their stock lasts."""
    return [entry for entry in entries if entry["state"] == OPEN]


def summary(entries: Sequence[Entry]) -> dict[str, int]:
    """Return what a product shows of its variants: the lowest price, and the sum of the stocks."""
    found = shown(entries)
    return {
        "price": min(entry["price"] for entry in found or entries),
        "stock": sum(entry["stock"] for entry in found),
    }


def fields_of_variant(parent: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """Return the fields that a variant stores of its product: its options, and what its orders and events have."""
    name = full_name(parent["name"], entry["options"])
    return {
        "name": name,
        "nameKey": domain.name_key(name),
        "category": parent["category"],
        "currency": parent["currency"],
        "isPublished": parent["isPublished"],
        "parentId": parent["_id"],
        "isListed": False,
        "options": entry["options"],
        "words": [],
        "prefixes": [],
    }


def require_own_fields(product: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Raises InvalidInput for a field that belongs to the variants of the product, or to the product of the variant."""
    if product["parentId"]:
        reason = f"is that of the product {product['parentId']}: change it there"
        wrong = [(name, reason) for name in fields if name in _SHARED_BY_VARIANTS]
    elif product["variants"]:
        wrong = [(name, "is that of each variant: change it there") for name in fields if name in _OF_EACH_VARIANT]
        wrong += [(name, "cannot change while there are variants") for name in fields if name == "currency"]
    else:
        return
    if wrong:
        raise InvalidInput(*wrong)
