"""Use cases of the catalog: create, change, delete and price products."""

from typing import Any

from chassis import calls, clock
from chassis.errors import IfMatch, require_version
from chassis.events import outbox
from chassis.money import Money
from chassis.store import Doc, Duplicate, Update, merge_updates
from services.inventory.messages import AdjustStock, StockProduct
from services.products import domain, imaging, pictures, repository, vocabulary
from services.products.messages import PricedItem, PriceItems, ProductCreated, ProductDeleted, ProductUpdated


def create(id: str, details: domain.Details, price: Money, stock: int, published: bool = True, by: str = "") -> Doc:
    """Create a product and return it, or return the product that has this id already.

    Its stock is opened first: the catalog never shows a product that cannot be ordered.
    """
    calls.send(StockProduct(product_id=id, quantity=stock, by=by), key=id)
    try:
        return insert(id, details, price, stock, published)
    except Duplicate:
        return repository.get(id)


def insert(
    id: str, details: domain.Details, price: Money, stock: int, published: bool = True, stock_sequence: int = 0
) -> Doc:
    """Insert a product whose stock is open, and return it; `stock_sequence` is that of the stock's latest event.

    Raises Duplicate if the id is taken.
    """
    product = new_product(id, details, price, stock, published, stock_sequence)
    vocabulary.add(details.words())
    repository.products.insert(product)
    return product


def new_product(
    id: str, details: domain.Details, price: Money, stock: int, published: bool = True, stock_sequence: int = 0
) -> Doc:
    """Return the document of a new product, with its event."""
    now = clock.timestamp()
    event = ProductCreated(
        product_id=id,
        name=details.name,
        price=str(price),
        currency=price.currency,
        category=details.category,
        initial_stock=stock,
        published=published,
    )
    return {
        "_id": id,
        **details.stored(),
        "price": price.minor,
        "currency": price.currency,
        "stock": stock,
        "isPublished": published,
        "pictures": [],
        "pictureSources": [],
        "picturesDue": "",
        "deleted": False,
        "version": 1,
        "dedupKey": "",
        "createdAt": now,
        "updatedAt": now,
        "last_seq": {"inventory": stock_sequence},
        **outbox.new_outbox(id, event),
    }


def change(id: str, fields: dict[str, Any], if_match: IfMatch, dedup_key: str) -> Doc:
    """Change any of the details, price, currency and published, once for each `dedup_key`.

    Raises NotFound, VersionConflict, InvalidInput.
    """
    while True:
        product = repository.get(id)
        if product["dedupKey"] == dedup_key:
            return product
        require_version(if_match, product["version"])
        new = {**product, **fields, "isPublished": fields.get("published", product["isPublished"])}
        if "price" in fields or "currency" in fields:
            old = Money(product["price"], product["currency"])
            price = domain.parse_price(fields.get("price", str(old)), new["currency"])
            new |= {"price": price.minor, "currency": price.currency}
        details = domain.Details.of(new)
        event = ProductUpdated(
            product_id=id,
            name=new["name"],
            price=str(Money(new["price"], new["currency"])),
            currency=new["currency"],
            category=new["category"],
            published=new["isPublished"],
        )
        publish, guard = outbox.append_event(product, event)
        fields_set = details.stored() | {name: new[name] for name in ("price", "currency", "isPublished")}
        fields_set |= {
            "dedupKey": dedup_key,
            "updatedAt": clock.timestamp(),
        }
        update = merge_updates({"$set": fields_set, "$inc": {"version": 1}}, publish)
        vocabulary.add(details.words())
        if changed := repository.products.update(id, update, when={**guard, "version": product["version"]}):
            return changed


def delete(id: str, if_match: IfMatch) -> None:
    """Delete a product from the catalog. Raises NotFound, VersionConflict."""
    while True:
        product = repository.get(id)
        require_version(if_match, product["version"])
        publish, guard = outbox.append_event(product, ProductDeleted(product_id=id))
        remove: Update = {
            "$set": {"deleted": True, "words": [], "prefixes": [], "tags": [], "updatedAt": clock.timestamp()},
            "$inc": {"version": 1},
        }
        if repository.products.update(
            id, merge_updates(remove, publish), when={**guard, "version": product["version"]}
        ):
            return


def adjust_stock(id: str, adjustment: int, dedup_key: str, by: str, reason: str) -> Doc:
    """Change the stock of a product, and return the product with the new stock. Raises NotFound, InsufficientStock."""
    repository.get(id)
    command = AdjustStock(product_id=id, adjustment=adjustment, dedup_key=dedup_key, by=by, reason=reason)
    reply = calls.send(command, key=dedup_key)
    repository.update_stock(id, reply.available, reply.sequence)
    return {**repository.get(id), "stock": reply.available}


def price_items(command: PriceItems) -> PriceItems.Reply:
    """Return the names and prices of published products; the reply leaves out all others.

    An order keeps the prices of this reply: a product that is unpublished later is still sold to it.
    """
    found = [repository.products.get(id) for id in dict.fromkeys(command.product_ids)]
    items = [
        PricedItem(
            product_id=doc["_id"],
            name=doc["name"],
            price=doc["price"],
            currency=doc["currency"],
            stock=doc["stock"],
            picture=pictures.url(doc["pictures"][0], imaging.SIZES_PX[-1]) if doc["pictures"] else None,
        )
        for doc in found
        if doc is not None and not doc["deleted"] and doc["isPublished"]
    ]
    return PriceItems.Reply(items=items)
