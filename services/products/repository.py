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
    outbox.PENDING,
)


def get(id: str) -> Doc:
    """Raises NotFound."""
    product = products.get(id)
    if product is None or product["deleted"]:
        raise NotFound("product")
    return product


def update_stock(id: str, available: int, sequence: int) -> None:
    change = {"$set": {"stock": available, "last_seq.inventory": sequence}}
    products.update(id, change, when={"last_seq.inventory": {"$lt": sequence}})
