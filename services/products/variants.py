"""Use cases of products with variants: what is stored in which order, so that a crash leaves nothing half done.

    list in the product  ──►  stocks  ──►  each missing variant  ──►  `variantsDue` is cleared, and the product listed
    change of a variant  ──►  its event  ──►  price and stock in the list of the product

Each step compares what is stored with what should be, and may be repeated: by the request, by an event, or by the job.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from chassis import calls, clock
from chassis.errors import InvalidInput
from chassis.events import outbox
from chassis.store import Doc, Duplicate, Update, merge_updates
from services.inventory.messages import MAX_STOCKED_PRODUCTS, ProductQuantity, StockLevel, StockProducts
from services.products import documents, domain, repository, variant_rules, vocabulary
from services.products.messages import ProductDeleted
from services.products.repository import products
from services.products.variant_rules import Entry, NewVariant, WantedVariant

LEASE_S = 5.0
"""Time that a request has to store variants before the job does, too. Both may do it at the same time."""
_RETRY_S = 30.0
"""Time after which the job tries again to store variants, such as while `inventory` is down."""
_BATCH = 20


def create(
    id: str,
    details: domain.Details,
    currency: str,
    option_names: Sequence[str],
    new: Sequence[NewVariant],
    published: bool = True,
    by: str = "",
) -> Doc:
    """Create a product with these variants and return it, or complete and return the product that has this id."""
    entries = [each.entry() for each in new]
    parent = documents.new_parent(id, details, currency, option_names, entries, published, due())
    vocabulary.add(domain.Details.of(parent).words())
    try:
        products.insert(parent)
    except Duplicate:
        pass
    complete(id, by)
    return repository.get(id)


def add(
    id: str, details: domain.Details, currency: str, wanted: Sequence[WantedVariant], published: bool = True
) -> bool:
    """List these variants in a product, which is inserted if it does not exist; `complete` stores them.

    `details` and `published` are those of a new product. Return whether the product changed.
    Raises InvalidInput, or NotFound if it was deleted.
    """
    while True:
        parent = products.get(id)
        if parent is not None:
            parent = repository.get(id)
            if not parent["variants"]:
                raise InvalidInput(("parentId", "is the id of a product without variants"))
        names, entries = variant_rules.merged(parent, wanted)
        if parent is None:
            new = documents.new_parent(id, details, currency, names, entries, published, due())
            vocabulary.add(domain.Details.of(new).words())
            try:
                products.insert(new)
            except Duplicate:
                continue
            return True
        if (names, entries) == (parent["optionNames"], parent["variants"]):
            return False
        found = domain.Details.of({**parent, "variants": entries})
        vocabulary.add(found.words())
        fields = {**found.search_fields(), "optionNames": names, "variantsDue": due()}
        if _set_entries(parent, entries, fields):
            return True


def due() -> str:
    """Return when the job stores what a request that begins now has not stored."""
    return clock.timestamp_in(LEASE_S)


def complete(id: str, by: str = "", levels: Mapping[str, StockLevel] = MappingProxyType({})) -> None:
    """Make the variants of a product as it says: insert those that are missing, change or delete the others.

    `levels` are stocks that are open already.

    Raises TransientError; it can then be repeated.
    """
    while (parent := products.get(id)) and parent["variantsDue"]:
        entries = parent["variants"]
        if parent["deleted"]:
            for entry in entries:
                _delete(entry["id"])
        else:
            stored = _stored(entries)
            _insert([entry for entry in entries if entry["id"] not in stored], parent, by, levels)
            for entry in entries:
                _align(entry, parent)
        stored = _stored(entries)
        entries = [variant_rules.current(entry, stored.get(entry["id"])) for entry in entries]
        if _set_entries(parent, entries, {"variantsDue": "", "isListed": True}):
            return


def complete_due() -> None:
    """Complete the products whose variants a request left undone."""
    now = clock.timestamp()
    for parent in products.find({"variantsDue": {"$gt": "", "$lte": now}}, limit=_BATCH):
        postponed: Update = {"$set": {"variantsDue": clock.timestamp_in(_RETRY_S)}}
        if products.update(parent["_id"], postponed, when={"variantsDue": parent["variantsDue"]}):
            complete(parent["_id"])


def refresh(id: str) -> None:
    """Show the present price, stock and picture of a variant in its product; nothing if `id` is no variant."""
    while (variant := products.get(id)) and variant["parentId"] and (parent := products.get(variant["parentId"])):
        variant = products.get(id)  # after the guard was read: a later change has a later event
        if parent["deleted"]:
            _delete(id)
            return
        entries = [
            variant_rules.current(entry, variant) if entry["id"] == id else entry for entry in parent["variants"]
        ]
        if entries == parent["variants"] or _set_entries(parent, entries, {}):
            return


def refresh_all() -> None:
    """Refresh every product with variants: an older process stores a stock without its product."""
    for parent in products.iterate({"deleted": False}):
        for entry in parent["variants"]:
            refresh(entry["id"])


def _stored(entries: Sequence[Entry]) -> dict[str, Doc]:
    ids = [entry["id"] for entry in entries]
    return {doc["_id"]: doc for doc in products.find({"_id": {"$in": ids}}, limit=len(ids))}


def _set_entries(parent: Doc, entries: Sequence[Entry], fields: Mapping[str, object]) -> bool:
    """Store the list of a product, and what follows from it; return False if another write came first."""
    update: Update = {
        "$set": {"variants": [*entries], **variant_rules.summary(entries), **fields},
        "$inc": {"variantsChanges": 1},
    }
    guard = {name: parent[name] for name in ("version", "variantsChanges")}
    return products.update(parent["_id"], update, when=guard) is not None


def _insert(entries: Sequence[Entry], parent: Doc, by: str, levels: Mapping[str, StockLevel]) -> None:
    """Insert variants once their stocks are open; one whose stock is closed was deleted before."""
    opened = {**levels, **_open_stocks([entry for entry in entries if entry["id"] not in levels], parent["_id"], by)}
    for entry in entries:
        if level := opened.get(entry["id"]):
            try:
                products.insert(documents.new_variant(parent, entry, level.available, level.sequence))
            except Duplicate:  # another process was faster
                pass


def _open_stocks(entries: Sequence[Entry], parent_id: str, by: str) -> dict[str, StockLevel]:
    found: dict[str, StockLevel] = {}
    for start in range(0, len(entries), MAX_STOCKED_PRODUCTS):
        batch = entries[start : start + MAX_STOCKED_PRODUCTS]
        items = [ProductQuantity(product_id=entry["id"], quantity=entry["stock"]) for entry in batch]
        command = StockProducts(items=items, replaces=False, dedup_key=parent_id, by=by)
        reply: StockProducts.Reply = calls.send(command, key=clock.new_id())
        found |= {level.product_id: level for level in reply.items}
    return found


def _align(entry: Entry, parent: Doc) -> None:
    """Change what a variant stores of its product, with an event, if it differs."""
    wanted = variant_rules.fields_of_variant(parent, entry)
    while variant := products.get(entry["id"]):
        new = {**variant, **wanted}
        if variant["deleted"] or new == variant:
            return
        publish, guard = outbox.append_event(variant, documents.updated(new))
        if not variant["parentId"]:  # a product before: what it is found by is that of its product now
            wanted = {**domain.Details("").stored(), **wanted, "sku": entry["sku"]}
        update: Update = {"$set": {**wanted, "updatedAt": clock.timestamp()}, "$inc": {"version": 1}}
        if products.update(entry["id"], merge_updates(update, publish), when={**guard, "version": variant["version"]}):
            return


def _delete(id: str) -> None:
    while (variant := products.get(id)) and not variant["deleted"]:
        publish, guard = outbox.append_event(
            variant, ProductDeleted(product_id=id, parent_id=variant["parentId"] or None)
        )
        if products.update(id, merge_updates(deletion(), publish), when={**guard, "version": variant["version"]}):
            return


def deletion() -> Update:
    """Return the update that deletes a product or variant from the catalog, without its event."""
    return {
        "$set": {"deleted": True, "words": [], "prefixes": [], "tags": [], "updatedAt": clock.timestamp()},
        "$inc": {"version": 1},
    }
