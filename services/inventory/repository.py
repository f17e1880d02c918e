"""How stock and reservations are loaded and stored."""

from typing import Any

from chassis import clock
from chassis.errors import DomainError, NotFound
from chassis.events import inbox, outbox
from chassis.messages import Event
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.inventory import domain, metrics
from services.inventory.messages import Line
from services.inventory.settings import settings

stock = Collection("stock", Index("allocationCount", partial={"allocationCount": {"$gt": 0}}), outbox.PENDING)
reservations = Collection(
    "reservations",
    Index("products", multikey=True),
    Index("stagePending", "updatedAt", partial={"stagePending": True}),
    Index("status", "expiresAt", partial={"status": "reserved"}),
    Index("returnPending", partial={"returnPending": True}),
    outbox.PENDING,
)


def get_stock(product: str) -> Doc:
    doc = stock.get(product)
    if doc is None:
        raise NotFound("product")
    return doc


def get_reservation(order: str) -> Doc:
    doc = reservations.get(order)
    if doc is None:
        raise DomainError("not_reserved", "Not reserved", "This order has no reservation.")
    return doc


def open_stock(product: str, quantity: int, closed: bool) -> None:
    fields = {**outbox.new_outbox(product), "seq": 1, "pending": 1}
    del fields["outbox"]
    try:
        stock.insert({**domain.new_stock(product, quantity, closed), **fields})
    except Duplicate:
        pass  # it is there, and keeps its own number


def new_reservation(order: str, lines: list[Line], status: str) -> Doc:
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
        **inbox.empty("orders"),
        **outbox.new_outbox(order),
    }


def apply_stage(doc: Doc, line: dict[str, Any], stage: Any) -> bool:
    for change, when in stage(doc["_id"], doc["stageVersion"], line["quantity"]):
        if stock.update(line["productId"], change, when=when):
            return True
    return False


def change_status(doc: Doc, status: str, event: type[Event] | None = None, **fields: Any) -> Doc:
    """The reservation in its next stage, or as another moved it meanwhile."""
    change: Any = {
        "$set": {"status": status, "stagePending": status in domain.PENDING_STAGES, "updatedAt": clock.timestamp(), **fields},
        "$inc": {"stageVersion": 1},
    }
    when: Any = {"stageVersion": doc["stageVersion"]}
    if event:
        lines = [Line.read(line) for line in doc["lines"]]
        says, guard = outbox.append_event(doc, event(order_id=doc["_id"], lines=lines))
        change, when = merge_updates(change, says), {**when, **guard}
    moved = reservations.update(doc["_id"], change, when=when)
    if moved is None:
        return get_reservation(doc["_id"])
    metrics.count(moved)
    return moved
