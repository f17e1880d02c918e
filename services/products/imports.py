"""Import of products in batches: each row creates a product, changes what differs, or is rejected for a reason.

    stored products  ──►  one StockProducts for those that are new (or all, to set stocks)  ──►  a write for each row

A crash leaves some rows done. Repeated, the batch finds them unchanged and does the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from chassis import calls, clock, deadline
from chassis.errors import DomainError, InvalidInput
from chassis.money import Money
from chassis.settings import settings
from chassis.store import Doc, Duplicate
from services.inventory.messages import MAX_STOCKED_PRODUCTS, ProductQuantity, StockLevel, StockProducts
from services.products import application, domain, downloads, repository, variants
from services.products.variant_rules import HasVariants, NewVariant

MAX_ROWS = MAX_STOCKED_PRODUCTS
Outcome = Literal["created", "updated", "unchanged"]
_OF_VARIANTS = ("price", "currency", "sku")


class ProductDeleted(DomainError):
    """The catalog deleted the product before."""

    def __init__(self) -> None:
        super().__init__("was deleted from the catalog; its id cannot be used again")


@dataclass(frozen=True)
class Row:
    """A product to import. `stock` and `texts` hold what the row has; the rest is kept.

    `texts` has description, category and vendor; `tags` is None without them. With a `parent_id` it is a variant of
    that product, which has the name, texts and pictures of the row.
    """

    id: str
    name: str
    price: Money
    stock: int | None
    published: bool | None
    texts: Mapping[str, str]
    tags: tuple[str, ...] | None = None
    pictures: tuple[downloads.Source, ...] = ()
    sku: str | None = None
    parent_id: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    picture: downloads.Source | None = None

    def details(self) -> domain.Details:
        """Return the details of a new product."""
        texts = {name: "" for name in ("description", "category", "vendor")} | dict(self.texts)
        return domain.Details.of({**texts, "name": self.name, "tags": self.tags or ()})


def import_rows(
    rows: Sequence[Row], sets_stock: bool, dedup_key: str, by: str = ""
) -> dict[str, Outcome | DomainError]:
    """Import the rows, whose ids differ; return the outcome of each by its id.

    The stock of an existing product is kept, or with `sets_stock` set once for each `dedup_key`. A product can be
    ordered as soon as it is visible. Raises TransientError; the batch can then be repeated.
    """
    ids = [row.id for row in rows]
    stored = {doc["_id"]: doc for doc in repository.products.find({"_id": {"$in": ids}}, limit=MAX_ROWS)}
    outcomes: dict[str, Outcome | DomainError] = {
        row.id: error for row in rows if (error := _kind_error(row, stored.get(row.id)))
    }
    fitting = [row for row in rows if row.id not in outcomes]
    levels = _stock(_rows_to_stock(fitting, stored, sets_stock), sets_stock, dedup_key, by)
    done, changed = _import_parents(fitting, stored, levels, by)
    outcomes |= done
    for row in fitting:
        if row.id in done:
            continue
        deadline.remaining(settings().deadline)
        try:
            outcome = _import_row(row, stored.get(row.id), levels.get(row.id), row.id in changed)
            has_new_pictures = _add_pictures(row)
            outcomes[row.id] = "updated" if has_new_pictures and outcome == "unchanged" else outcome
        except DomainError as error:
            outcomes[row.id] = error
    return outcomes


def _import_parents(
    rows: Sequence[Row], stored: Mapping[str, Doc], levels: Mapping[str, StockLevel], by: str
) -> tuple[dict[str, Outcome | DomainError], set[str]]:
    """Store the products of variants, and insert the variants that are new.

    Return the outcomes of variants that were inserted or refused, and the ids of the others that changed with it.
    """
    outcomes: dict[str, Outcome | DomainError] = {}
    changed: set[str] = set()
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if row.parent_id:
            groups.setdefault(row.parent_id, []).append(row)
    for parent_id, group in groups.items():
        new = [row for row in group if row.id not in stored]
        try:
            if _import_parent(parent_id, group):
                changed |= {row.id for row in group}
            variants.complete(parent_id, by, levels)
            for row in new:
                is_created = repository.products.get(row.id) is not None
                outcomes[row.id] = "created" if is_created else ProductDeleted()
                if is_created:
                    _add_pictures(row)
        except DomainError as error:
            outcomes |= {row.id: error for row in group}
    return outcomes, changed


def _kind_error(row: Row, stored: Doc | None) -> DomainError | None:
    """Return why the row cannot be that of the stored product: another kind, or deleted."""
    if stored is None:
        return None
    if stored["deleted"]:
        return ProductDeleted()
    if stored["variants"]:
        return HasVariants(row.id)
    if row.parent_id and stored["parentId"] not in ("", row.parent_id):
        return InvalidInput(("parentId", f"is {stored['parentId']} in the shop, and cannot change"))
    return None


def _import_parent(id: str, rows: Sequence[Row]) -> bool:
    """Store a product with these variants in its list; return whether that changed it. Raises DomainError."""
    first = rows[0]
    new = [(row.options, NewVariant(row.id, (), row.price.minor, row.stock or 0, row.sku or "")) for row in rows]
    if any(row.price.currency != first.price.currency for row in rows):
        raise InvalidInput(("currency", "differs from that of another variant"))
    is_changed = variants.add(id, first.details(), first.price.currency, new, first.published is not False)
    parent = repository.get(id)
    if parent["currency"] != first.price.currency:
        raise InvalidInput(("currency", f"is {parent['currency']} in the shop, and cannot change"))
    differing = {name: value for name, value in _differing(first, parent).items() if name not in _OF_VARIANTS}
    if differing:
        application.change(id, differing, None, clock.new_id())
    has_new_pictures = bool(first.pictures) and downloads.add_sources(id, first.pictures)
    return is_changed or bool(differing) or has_new_pictures


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


def _import_row(row: Row, stored: Doc | None, level: StockLevel | None, is_changed: bool) -> Outcome:
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
    if row.parent_id:
        stored = repository.get(row.id)  # as its product has made it
        differing = {name: value for name, value in _differing(row, stored).items() if name in ("price", "sku")}
    else:
        differing = _differing(row, _with_shared_fields(stored))
    if differing:
        application.change(row.id, differing, None, clock.new_id())
    if level is not None:
        application.update_stock(row.id, level.available, level.sequence)
        is_changed = is_changed or level.available != stored["stock"]
    return "updated" if differing or is_changed else "unchanged"


def _add_pictures(row: Row) -> bool:
    """Have the pictures of a row downloaded, of a variant its own; return whether there are new ones."""
    wanted = row.pictures
    if row.parent_id:
        wanted = (row.picture,) if row.picture else ()
    return bool(wanted) and downloads.add_sources(row.id, wanted)


def _insert(row: Row, level: StockLevel) -> None:
    is_published = row.published is not False
    application.insert(row.id, row.details(), row.price, level.available, is_published, level.sequence, row.sku or "")


def _with_shared_fields(stored: Doc) -> Doc:
    """Return a product as a client sees it: a variant has the texts of its product."""
    parent = repository.parent_of(stored) or {}
    return stored | {name: parent[name] for name in ("description", "vendor", "tags") if parent}


def _differing(row: Row, stored: Doc) -> dict[str, Any]:
    """Return the fields to change, as `application.change` takes them."""
    found: dict[str, Any] = {
        name: value for name, value in {"name": row.name, **row.texts}.items() if value != stored[name]
    }
    if row.tags is not None and [*row.tags] != stored["tags"]:
        found["tags"] = [*row.tags]
    if row.published not in (None, stored["isPublished"]):
        found["published"] = row.published
    if row.sku not in (None, stored["sku"]):
        found["sku"] = row.sku
    if (row.price.minor, row.price.currency) != (stored["price"], stored["currency"]):
        found |= {"price": str(row.price), "currency": row.price.currency}
    return found
