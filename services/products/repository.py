"""How products are loaded and stored."""

from chassis.errors import NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Index

products = Collection(
    "products",
    Index("deleted", "name"),
    Index("deleted", "price"),
    Index("deleted", "createdAt"),
    Index("deleted", "category", "name"),
    Index("words", multikey=True),
    outbox.PENDING_INDEX,
)


def get(id: str) -> Doc:
    """Return a product that is not deleted. Raises NotFound."""
    product = products.get(id)
    if product is None or product["deleted"]:
        raise NotFound("product")
    return product


def update_stock(id: str, available: int, sequence: int) -> None:
    """Store the stock that the catalog shows, unless a newer one is stored; `sequence` is that of the stock's event."""
    update = {"$set": {"stock": available, "last_seq.inventory": sequence}}
    products.update(id, update, when={"last_seq.inventory": {"$lt": sequence}})
