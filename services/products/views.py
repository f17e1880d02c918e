"""Products as a client sees them.

a product         price, stock
with variants     options and variants; its price is the lowest of theirs, its stock is their sum
a variant         parentId, its own price, stock and picture; all else is that of the product it belongs to
"""

from collections.abc import Iterator

from pydantic import Field

from chassis.money import Money
from chassis.schema import DecimalString, Id, Schema, Timestamp
from chassis.store import Doc
from services.products import pictures, repository, variant_rules


class Picture(Schema):
    """A picture at its largest, 1280 px; the renditions of 640 and 320 px have these numbers in their URLs instead."""

    url: str
    alt: str
    width: int
    height: int


class Option(Schema):
    """What the variants of a product differ in, such as the size, and the values that they have."""

    name: str
    values: list[str]


class Variant(Schema):
    """What is ordered in place of a product with options; `options` has a value for each of the options.

    The price is in the currency of the product.
    """

    id: Id
    options: dict[str, str]
    price: DecimalString
    sku: str
    stock: int
    picture: Picture | None


class Product(Schema):
    """A product. One with variants has the lowest of their prices and the sum of their stocks; they are ordered."""

    id: Id
    name: str
    description: str
    price: DecimalString
    currency: str
    category: str
    vendor: str
    tags: list[str]
    sku: str
    stock: int
    in_stock: bool
    published: bool
    pictures: list[Picture]
    options: list[Option]
    variants: list[Variant]
    parent_id: Id | None = Field(description="The product that this variant belongs to; null for any other product")
    created_at: Timestamp
    updated_at: Timestamp


def view(doc: Doc, parent: Doc | None = None) -> Product:
    """Return a stored product as a client sees it; a variant needs the product that it belongs to."""
    shared = parent or doc
    shown = variant_rules.shown(shared["variants"])
    names: list[str] = shared["optionNames"]
    return Product(
        id=doc["_id"],
        name=doc["name"],
        description=shared["description"],
        price=str(Money(doc["price"], doc["currency"])),
        currency=doc["currency"],
        category=shared["category"],
        vendor=shared["vendor"],
        tags=shared["tags"],
        sku=doc["sku"],
        stock=doc["stock"],
        in_stock=doc["stock"] > 0,
        published=shared["isPublished"],
        pictures=[_picture(each) for each in {each["id"]: each for each in _pictures(doc, shared)}.values()],
        options=[Option(name=name, values=_values(shown, place)) for place, name in enumerate(names)],
        variants=[_variant(each, names, shared["currency"]) for each in shown],
        parent_id=doc["parentId"] or None,
        created_at=doc["createdAt"],
        updated_at=doc["updatedAt"],
    )


def views(docs: list[Doc]) -> list[Product]:
    """Return stored products of any kind, without the variants of products that are not listed."""
    parents = repository.parents_of(docs)
    return [
        view(doc, parents.get(doc["parentId"])) for doc in docs if not doc["parentId"] or doc["parentId"] in parents
    ]


def _values(entries: list[Doc], place: int) -> list[str]:
    return [value for value in dict.fromkeys(each["options"][place] for each in entries) if value]


def _variant(entry: Doc, names: list[str], currency: str) -> Variant:
    return Variant(
        id=entry["id"],
        options={name: value for name, value in zip(names, entry["options"], strict=True) if value},
        price=str(Money(entry["price"], currency)),
        sku=entry["sku"],
        stock=entry["stock"],
        picture=_picture(entry["picture"]) if entry["picture"] else None,
    )


def _pictures(doc: Doc, shared: Doc) -> Iterator[Doc]:
    yield from doc["pictures"]
    yield from shared["pictures"] if shared is not doc else ()


def _picture(picture: Doc) -> Picture:
    return Picture(url=pictures.url(picture), alt=picture["alt"], width=picture["width"], height=picture["height"])
