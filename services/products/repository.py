"""How products are loaded and stored.

The stored field of `published` is `isPublished`: the outbox has a field `published` of its own.
"""

from typing import Any

from chassis.errors import NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Index, Version
from services.products import domain


def _with_name_key(doc: Doc) -> Doc:
    return {"nameKey": domain.name_key(doc["name"])}


def _with_search_fields(doc: Doc) -> Doc:
    if doc["deleted"]:
        return {"words": [], "prefixes": []}
    return domain.Details.of({"vendor": "", "tags": [], **doc}).search_fields()


products = Collection(
    "products",
    Index("deleted", "isPublished", "nameKey"),
    Index("deleted", "isPublished", "currency", "price"),
    Index("deleted", "isPublished", "createdAt"),
    Index("deleted", "isPublished", "category", "nameKey"),
    Index("deleted", "isPublished", "category", "currency", "price"),
    Index("deleted", "isPublished", "category", "createdAt"),
    Index("deleted", "isPublished", "vendor", "nameKey"),
    Index("deleted", "isPublished", "stock"),
    Index("words", multikey=True),
    Index("prefixes", multikey=True),
    Index("tags", multikey=True),
    Index("picturesDue", partial={"picturesDue": {"$gt": ""}}),
    outbox.PENDING_INDEX,
    versions=(
        Version(defaults={"isPublished": True}, sort_keys=("nameKey",), upcast=_with_name_key),
        # `words` is older: release 0.2.0 searches it, and writes less to it.
        Version(defaults={"vendor": "", "tags": [], "words": [], "prefixes": []}, upcast=_with_search_fields),
        Version(defaults={"pictures": [], "pictureSources": [], "picturesDue": ""}),
    ),
)


def get(id: str) -> Doc:
    """Return a product that is not deleted, published or not. Raises NotFound."""
    product = products.get(id)
    if product is None or product["deleted"]:
        raise NotFound("product")
    return product


def get_published(id: str) -> Doc:
    """Return a product that the public sees. Raises NotFound."""
    product = get(id)
    if not product["isPublished"]:
        raise NotFound("product")
    return product


def catalog(is_published: bool = True) -> dict[str, Any]:
    """Return the filter that every list begins with; a list of all products has two of them."""
    return {"deleted": False, "isPublished": is_published}


def update_stock(id: str, available: int, sequence: int) -> None:
    """Store the stock that the catalog shows, unless a newer one is stored; `sequence` is that of the stock's event."""
    update = {"$set": {"stock": available, "last_seq.inventory": sequence}}
    products.update(id, update, when={"last_seq.inventory": {"$lt": sequence}})
