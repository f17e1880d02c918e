"""New documents of products, of products with variants, and of variants; and the event of a change."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from chassis import clock
from chassis.events import outbox
from chassis.money import Money
from chassis.store import Doc
from services.products import domain, repository, variant_rules
from services.products.messages import ProductCreated, ProductUpdated
from services.products.variant_rules import Entry


def new_product(
    id: str,
    details: domain.Details,
    price: Money,
    stock: int,
    published: bool = True,
    stock_sequence: int = 0,
    sku: str = "",
) -> Doc:
    """Return the document of a new product, with its event; `stock_sequence` is that of the stock's latest event."""
    fields = {"price": price.minor, "currency": price.currency, "stock": stock, "isPublished": published, "sku": sku}
    return _with_created(_new(id, {**details.stored(), **fields}, stock_sequence))


def new_parent(
    id: str,
    details: domain.Details,
    currency: str,
    option_names: Sequence[str],
    entries: Sequence[Entry],
    published: bool,
    due: str,
) -> Doc:
    """Return the document of a new product with variants, which the job stores when they are `due`. It has no events.

    `details` are without the values of the variants' options.
    """
    fields = {
        **with_options(details, entries).stored(),
        "currency": currency,
        "isPublished": published,
        "isListed": False,
        "optionNames": [*option_names],
        "variants": [*entries],
        "variantsDue": due,
        **variant_rules.summary(entries),
    }
    return _new(id, fields, 0) | outbox.new_outbox(id)


def new_variant(parent: Doc, entry: Entry, stock: int, stock_sequence: int) -> Doc:
    """Return the document of a new variant, with its event."""
    fields = {
        **domain.Details("").stored(),
        **variant_rules.fields_of_variant(parent, entry),
        **{name: entry[name] for name in ("sku", "price")},
        "stock": stock,
    }
    return _with_created(_new(entry["id"], fields, stock_sequence))


def with_options(details: domain.Details, entries: Sequence[Entry]) -> domain.Details:
    """Return the details with the values of the options, by which a search finds the product, too."""
    return domain.Details.of({**vars(details), "variants": entries})


def updated(product: Doc) -> ProductUpdated:
    """Return the event of a product or variant that is now as `product` says."""
    return ProductUpdated(
        product_id=product["_id"],
        name=product["name"],
        price=str(Money(product["price"], product["currency"])),
        currency=product["currency"],
        category=product["category"],
        published=product["isPublished"],
        parent_id=product["parentId"] or None,
    )


def _new(id: str, fields: dict[str, Any], stock_sequence: int) -> Doc:
    now = clock.timestamp()
    return {
        "_id": id,
        "pictures": [],
        "pictureSources": [],
        "picturesDue": "",
        "isListed": True,
        "variantsDue": "",
        **deepcopy(repository.NO_VARIANTS),
        **fields,
        "deleted": False,
        "version": 1,
        "dedupKey": "",
        "createdAt": now,
        "updatedAt": now,
        "last_seq": {"inventory": stock_sequence},
    }


def _with_created(product: Doc) -> Doc:
    event = ProductCreated(
        product_id=product["_id"],
        name=product["name"],
        price=str(Money(product["price"], product["currency"])),
        currency=product["currency"],
        category=product["category"],
        initial_stock=product["stock"],
        published=product["isPublished"],
        parent_id=product["parentId"] or None,
    )
    return product | outbox.new_outbox(product["_id"], event)
