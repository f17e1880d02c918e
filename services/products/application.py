"""Use cases of the catalog: create, change, delete and price products."""

from typing import Any

from chassis import calls, clock
from chassis.errors import IfMatch, require_version
from chassis.events import outbox
from chassis.messages import Event
from chassis.money import Money
from chassis.store import Doc, Duplicate, Filter, Update, merge_updates
from services.inventory.messages import AdjustStock, StockProduct
from services.products import documents, domain, imaging, pictures, repository, variant_rules, variants, vocabulary
from services.products.messages import PricedItem, PriceItems, ProductDeleted


def create(
    id: str, details: domain.Details, price: Money, stock: int, published: bool = True, by: str = "", sku: str = ""
) -> Doc:
    """Create a product and return it, or return the product that has this id already.

    Its stock is opened first: the catalog never shows a product that cannot be ordered.
    """
    calls.send(StockProduct(product_id=id, quantity=stock, by=by), key=id)
    try:
        return insert(id, details, price, stock, published, sku=sku)
    except Duplicate:
        return repository.get(id)


def insert(
    id: str,
    details: domain.Details,
    price: Money,
    stock: int,
    published: bool = True,
    stock_sequence: int = 0,
    sku: str = "",
) -> Doc:
    """Insert a product whose stock is open, and return it; `stock_sequence` is that of the stock's latest event.

    Raises Duplicate if the id is taken.
    """
    product = documents.new_product(id, details, price, stock, published, stock_sequence, sku)
    vocabulary.add(details.words())
    repository.products.insert(product)
    return product


def change(id: str, fields: dict[str, Any], if_match: IfMatch, dedup_key: str) -> Doc:
    """Change any of the details, price, currency and published, once for each `dedup_key`.

    Raises NotFound, VersionConflict, InvalidInput.
    """
    while True:
        product = repository.get(id)
        if product["dedupKey"] == dedup_key:
            return _followed(product)
        require_version(if_match, product["version"])
        variant_rules.require_own_fields(product, fields)
        new = {**product, **fields, "isPublished": fields.get("published", product["isPublished"])}
        if "price" in fields or "currency" in fields:
            old = Money(product["price"], product["currency"])
            price = domain.parse_price(fields.get("price", str(old)), new["currency"])
            new |= {"price": price.minor, "currency": price.currency}
        details = domain.Details.of(new)
        changed = {
            name: new[name] for name in ("price", "currency", "isPublished", "sku") if new[name] != product[name]
        }
        if not product["parentId"]:
            changed |= details.stored()
        changed |= {"dedupKey": dedup_key, "updatedAt": clock.timestamp()}
        vocabulary.add(details.words())
        if stored := _update(product, {"$set": changed, "$inc": {"version": 1}}, documents.updated(new)):
            return _followed(stored)


def delete(id: str, if_match: IfMatch) -> None:
    """Delete a product, with its variants, from the catalog. Raises NotFound, VersionConflict."""
    while True:
        product = repository.get(id)
        require_version(if_match, product["version"])
        event = ProductDeleted(product_id=id, parent_id=product["parentId"] or None)
        if stored := _update(product, variants.deletion(), event):
            _followed(stored)
            return


def _followed(product: Doc) -> Doc:
    """Return a changed product once its variants have followed, or the product that it is a variant of."""
    if product["variants"]:
        variants.complete(product["_id"])
        return repository.products.get(product["_id"]) or product
    if product["parentId"]:
        variants.refresh(product["_id"])
    return product


def _update(product: Doc, update: Update, event: Event) -> Doc | None:
    """Store a change with its event, and return the result; None if another write came first.

    A product with variants has no event: its variants follow, with their own.
    """
    publish: Update = {"$set": {"variantsDue": variants.due()}}
    guard: Filter = {}
    if not product["variants"]:
        publish, guard = outbox.append_event(product, event)
    when = {**guard, "version": product["version"]}
    return repository.products.update(product["_id"], merge_updates(update, publish), when=when)


def adjust_stock(id: str, adjustment: int, dedup_key: str, by: str, reason: str) -> Doc:
    """Change the stock of a product, and return the product with the new stock.

    Raises NotFound, InsufficientStock, HasVariants.
    """
    if repository.get(id)["variants"]:
        raise variant_rules.HasVariants(id)
    command = AdjustStock(product_id=id, adjustment=adjustment, dedup_key=dedup_key, by=by, reason=reason)
    reply = calls.send(command, key=dedup_key)
    update_stock(id, reply.available, reply.sequence)
    return {**repository.get(id), "stock": reply.available}


def update_stock(id: str, available: int, sequence: int) -> None:
    """Store the stock that the catalog shows, unless a newer one is stored; `sequence` is that of the stock's event."""
    changed = repository.update_stock(id, available, sequence)
    if changed is None or changed["parentId"]:  # None, too: a crash may have come before the refresh
        variants.refresh(id)


def price_items(command: PriceItems) -> PriceItems.Reply:
    """Return the names and prices of published products; the reply leaves out all others.

    An order keeps the prices of this reply: a product that is unpublished later is still sold to it.
    """
    found = [repository.products.get(id) for id in dict.fromkeys(command.product_ids)]
    sold = [doc for doc in found if doc is not None and not doc["deleted"] and doc["isPublished"]]
    parents = repository.parents_of(sold)
    items = [
        _priced(doc, parents.get(doc["parentId"], doc))
        for doc in sold
        if not doc["variants"] and (not doc["parentId"] or doc["parentId"] in parents)
    ]
    return PriceItems.Reply(
        items=[item for item in items if item], with_variants=[doc["_id"] for doc in sold if doc["variants"]]
    )


def _priced(doc: Doc, shared: Doc) -> PricedItem | None:
    """Return the price of a product or variant; `shared` is the product that a variant belongs to."""
    if not shared["isPublished"]:
        return None
    shown = doc["pictures"] or shared["pictures"]
    return PricedItem(
        product_id=doc["_id"],
        name=doc["name"],
        price=doc["price"],
        currency=doc["currency"],
        stock=doc["stock"],
        picture=pictures.url(shown[0], imaging.SIZES_PX[-1]) if shown else None,
    )
