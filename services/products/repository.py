"""How products are loaded and stored.

The stored field of `published` is `isPublished`: the outbox has a field `published` of its own.
"""

from collections.abc import Iterable
from typing import Any

from chassis.errors import NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Index, Version
from services.products import domain

NO_VARIANTS: Doc = {
    "sku": "",
    "parentId": "",
    "options": [],
    "optionNames": [],
    "variants": [],
    "variantsChanges": 0,
}
"""The fields of variants, and of products with variants, as a product without options has them."""


def _with_name_key(doc: Doc) -> Doc:
    return {"nameKey": domain.name_key(doc["name"])}


def _with_search_fields(doc: Doc) -> Doc:
    if doc["deleted"] or doc.get("parentId"):
        return {"words": [], "prefixes": []}
    return domain.Details.of({"vendor": "", "tags": [], **doc}).search_fields()


products = Collection(
    "products",
    Index("deleted", "isPublished", "isListed", "nameKey"),
    Index("deleted", "isPublished", "isListed", "currency", "price"),
    Index("deleted", "isPublished", "isListed", "createdAt"),
    Index("deleted", "isPublished", "isListed", "category", "nameKey"),
    Index("deleted", "isPublished", "isListed", "category", "currency", "price"),
    Index("deleted", "isPublished", "isListed", "category", "createdAt"),
    Index("deleted", "isPublished", "isListed", "vendor", "nameKey"),
    Index("deleted", "isPublished", "isListed", "stock"),
    Index("words", multikey=True),
    Index("prefixes", multikey=True),
    Index("tags", multikey=True),
    Index("picturesDue", partial={"picturesDue": {"$gt": ""}}),
    Index("variantsDue", partial={"variantsDue": {"$gt": ""}}),
    outbox.PENDING_INDEX,
    versions=(
        Version(defaults={"isPublished": True}, sort_keys=("nameKey",), upcast=_with_name_key),
        # `words` is older: release 0.2.0 searches it, and writes less to it.
        Version(defaults={"vendor": "", "tags": [], "words": [], "prefixes": []}, upcast=_with_search_fields),
        Version(defaults={"pictures": [], "pictureSources": [], "picturesDue": ""}),
        Version(defaults={"isListed": True, "variantsDue": "", **NO_VARIANTS}),
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
    parent = parent_of(product) or product
    if not parent["isPublished"] or (parent["variants"] and not parent["isListed"]):
        raise NotFound("product")
    return product


def parent_of(doc: Doc) -> Doc | None:
    """Return the product that a variant belongs to; None if `doc` is no variant. Raises NotFound."""
    return get(doc["parentId"]) if doc["parentId"] else None


def parents_of(docs: Iterable[Doc]) -> dict[str, Doc]:
    """Return the products that variants belong to, by their ids, without those that are deleted."""
    ids = sorted({doc["parentId"] for doc in docs if doc["parentId"]})
    found = products.find({"_id": {"$in": ids}}, limit=len(ids)) if ids else []
    return {doc["_id"]: doc for doc in found if not doc["deleted"]}


def catalog(is_published: bool = True) -> dict[str, Any]:
    """Return the filter that every list begins with; a list of all products has two of them.

    Variants are not listed, nor is a product before its first variants are stored.
    """
    return {"deleted": False, "isPublished": is_published, "isListed": True}


def update_stock(id: str, available: int, sequence: int) -> Doc | None:
    """Store the stock that the catalog shows; return None if this or a newer one is stored.

    `sequence` is that of the stock's event.
    """
    update = {"$set": {"stock": available, "last_seq.inventory": sequence}}
    return products.update(id, update, when={"last_seq.inventory": {"$lt": sequence}})
