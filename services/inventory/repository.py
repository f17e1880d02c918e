"""How stock and reservations are loaded and stored."""

from collections.abc import Callable
from typing import Any

from chassis import clock
from chassis.errors import NotFound
from chassis.events import inbox, outbox
from chassis.messages import Event
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.inventory import domain, metrics
from services.inventory.messages import Line, NotReserved
from services.inventory.settings import settings

stock = Collection("stock", Index("allocationCount", partial={"allocationCount": {"$gt": 0}}), outbox.PENDING_INDEX)
movements = Collection("movements", Index("productId"))
"""Adjustments that a stock no longer keeps itself, by ids that are ordered by time."""
reservations = Collection(
    "reservations",
    Index("products", multikey=True),
    Index("stagePending", "updatedAt", partial={"stagePending": True}),
    Index("status", "expiresAt", partial={"status": "reserved"}),
    Index("returnPending", partial={"returnPending": True}),
    outbox.PENDING_INDEX,
)

Stage = Callable[[str, int, int], list[domain.GuardedUpdate]]
"""A stage of a reservation, such as `domain.hold`: (order, stage version, quantity) -> updates to try in turn."""


def get_stock(product: str) -> Doc:
    """Return the stock of a product. Raises NotFound."""
    doc = stock.get(product)
    if doc is None:
        raise NotFound("product")
    return doc


def get_reservation(order: str) -> Doc:
    """Return the reservation of an order. Raises NotReserved."""
    doc = reservations.get(order)
    if doc is None:
        raise NotReserved
    return doc


def open_stock(product: str, quantity: int, closed: bool, dedup_key: str = "", by: str = "") -> Doc:
    """Insert the stock of a product, unless it exists, and return it; an existing one keeps its own quantity.

    With a `dedup_key`, the insert counts as the adjustment with this key.
    """
    doc = {**domain.new_stock(product, quantity, closed), **outbox.new_outbox(product), "seq": 1, "pending": 1}
    del doc["outbox"]
    doc["adjustments"] = [domain.adjustment(dedup_key, quantity, quantity, doc["seq"], domain.Cause("opened", by))]
    try:
        stock.insert(doc)
    except Duplicate:
        return get_stock(product)
    return doc


def new_reservation(order: str, lines: list[Line], status: str) -> Doc:
    """Return the document of a new reservation."""
    now = clock.timestamp()
    return {
        "_id": order,
        "lines": [line.data() for line in lines],
        "products": [line.product_id for line in lines],
        "status": status,
        "stagePending": status in domain.PENDING_STAGES,
        "stageVersion": 1,
        "confirmNext": False,
        "expired": False,
        "returnPending": False,
        "rejection": None,
        "expiresAt": clock.timestamp_in(settings().reservation),
        "createdAt": now,
        "updatedAt": now,
        **inbox.new_inbox("orders"),
        **outbox.new_outbox(order),
    }


def apply_stage(reservation: Doc, line: dict[str, Any], stage: Stage) -> bool:
    """Apply a stage of a reservation to the stock of one line; return whether it applied now."""
    for update, guard in stage(reservation["_id"], reservation["stageVersion"], line["quantity"]):
        if stock.update(line["productId"], update, when=guard):
            return True
    return False


def change_status(reservation: Doc, status: str, event: type[Event] | None = None, **fields: Any) -> Doc:
    """Move a reservation to its next status, and publish `event`.

    Returns the reservation as stored: if another process moved it first, as that process left it.
    """
    update: Any = {
        "$set": {
            "status": status,
            "stagePending": status in domain.PENDING_STAGES,
            "updatedAt": clock.timestamp(),
            **fields,
        },
        "$inc": {"stageVersion": 1},
    }
    guard: Any = {"stageVersion": reservation["stageVersion"]}
    if event:
        lines = [Line.read(line) for line in reservation["lines"]]
        publish, unchanged = outbox.append_event(reservation, event(order_id=reservation["_id"], lines=lines))
        update, guard = merge_updates(update, publish), {**guard, **unchanged}
    moved = reservations.update(reservation["_id"], update, when=guard)
    if moved is None:
        return get_reservation(reservation["_id"])
    metrics.count(moved)
    return moved
