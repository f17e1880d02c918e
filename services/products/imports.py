"""Import of products in batches: each row creates a product, changes what differs, or is rejected for a reason.

    stored products  ──►  one StockProducts for those that are new (or all, to set stocks)  ──►  a write for each row

A crash leaves some rows done. Repeated, the batch finds them unchanged and does the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chassis import calls, clock, deadline
from chassis.errors import DomainError
from chassis.money import Money
from chassis.settings import settings
from chassis.store import Doc, Duplicate
from services.inventory.messages import MAX_STOCKED_PRODUCTS, ProductQuantity, StockLevel, StockProducts
from services.products import application, domain, downloads, repository

MAX_ROWS = MAX_STOCKED_PRODUCTS
Outcome = Literal["created", "updated", "unchanged"]


class ProductDeleted(DomainError):
    """The catalog deleted the product before."""

    def __init__(self) -> None:
        super().__init__("was deleted from the catalog; its id cannot be used again")


@dataclass(frozen=True)
class Row:
    """A product to import. `stock` and `texts` hold what the row has; the rest is kept.

    `texts` has description, category and vendor; `tags` is None without them.
    """

    id: str
    name: str
    price: Money
    stock: int | None
    published: bool | None
    texts: Mapping[str, str]
    tags: tuple[str, ...] | None = None
    pictures: tuple[downloads.Source, ...] = ()


def import_rows(
    rows: Sequence[Row], sets_stock: bool, dedup_key: str, by: str = ""
) -> dict[str, Outcome | DomainError]:
    """Import the rows, whose ids differ; return the outcome of each by its id.

    The stock of an existing product is kept, or with `sets_stock` set once for each `dedup_key`. A product can be
    ordered as soon as it is visible. Raises TransientError; the batch can then be repeated.
    """
    ids = [row.id for row in rows]
    stored = {doc["_id"]: doc for doc in repository.products.find({"_id": {"$in": ids}}, limit=MAX_ROWS)}
    levels = _stock(_rows_to_stock(rows, stored, sets_stock), sets_stock, dedup_key, by)
    outcomes: dict[str, Outcome | DomainError] = {}
    for row in rows:
        deadline.remaining(settings().deadline)
        try:
            outcome = _import_row(row, stored.get(row.id), levels.get(row.id))
            has_new_pictures = bool(row.pictures) and downloads.add_sources(row.id, row.pictures)
            outcomes[row.id] = "updated" if has_new_pictures and outcome == "unchanged" else outcome
        except DomainError as error:
            outcomes[row.id] = error
    return outcomes


def _rows_to_stock(rows: Sequence[Row], stored: Mapping[str, Doc], sets_stock: bool) -> list[Row]:
    return [
        row
        for row in rows
        if row.id not in stored or (sets_stock and row.stock is not None and not stored[row.id]["deleted"])
    ]


def _stock(rows: Sequence[Row], replaces: bool, dedup_key: str, by: str) -> dict[str, StockLevel]:
    if not rows:
        return {}
    items = [ProductQuantity(product_id=row.id, quantity=row.stock or 0) for row in rows]
    command = StockProducts(items=items, replaces=replaces, dedup_key=dedup_key, by=by)
    reply = calls.send(command, key=clock.new_id())
    return {level.product_id: level for level in reply.items}


def _import_row(row: Row, stored: Doc | None, level: StockLevel | None) -> Outcome:
    """Create a product or change what differs; `level` is its stock, if that was opened or set. Raises DomainError."""
    if stored is None:
        if level is None:
            raise ProductDeleted
        try:
            _insert(row, level)
        except Duplicate:  # another import came first
            stored = repository.get(row.id)
        else:
            return "created"
    if stored["deleted"]:
        raise ProductDeleted
    differing = _differing(row, stored)
    if differing:
        application.change(row.id, differing, None, clock.new_id())
    if level is None:
        return "updated" if differing else "unchanged"
    application.update_stock(row.id, level.available, level.sequence)
    return "updated" if differing or level.available != stored["stock"] else "unchanged"


def _insert(row: Row, level: StockLevel) -> None:
    details = domain.Details.of(
        {"description": "", "category": "", "vendor": "", **row.texts, "name": row.name, "tags": row.tags or ()}
    )
    application.insert(row.id, details, row.price, level.available, row.published is not False, level.sequence)


def _differing(row: Row, stored: Doc) -> dict[str, Any]:
    """Return the fields to change, as `application.change` takes them."""
    found: dict[str, Any] = {
        name: value for name, value in {"name": row.name, **row.texts}.items() if value != stored[name]
    }
    if row.tags is not None and [*row.tags] != stored["tags"]:
        found["tags"] = [*row.tags]
    if row.published not in (None, stored["isPublished"]):
        found["published"] = row.published
    if (row.price.minor, row.price.currency) != (stored["price"], stored["currency"]):
        found |= {"price": str(row.price), "currency": row.price.currency}
    return found
