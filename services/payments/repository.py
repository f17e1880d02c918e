"""How payments are loaded and stored."""

from typing import Any

from chassis import clock
from chassis.errors import NotFound
from chassis.events import outbox
from chassis.messages import Event
from chassis.observe import trace
from chassis.store import Collection, Doc, Index, merge_updates
from services.payments import metrics

payments = Collection(
    "payments",
    Index("userId"),
    Index("orderId"),
    Index("createdAt"),
    Index("refundPending", partial={"refundPending": True}),
    outbox.PENDING_INDEX,
)


def get(id: str) -> Doc:
    """Return a payment. Raises NotFound."""
    trace.bind(orderId=id)
    payment = payments.get(id)
    if payment is None:
        raise NotFound("payment")
    return payment


def insert(payment: Doc) -> None:
    """Store a new payment. Raises Duplicate if its order has one."""
    payments.insert(payment)
    metrics.count(payment)


def change_status(payment: Doc, status: str, event: Event | None = None, **fields: Any) -> Doc:
    """Move a payment to its next status, and publish `event`.

    Returns the payment as stored: if another process moved it first, as that process left it.
    """
    return move(payment, status, event, **fields) or get(payment["_id"])


def move(payment: Doc, status: str, event: Event | None = None, **fields: Any) -> Doc | None:
    """Move a payment to its next status, and publish `event`. Return None if another process moved it first."""
    update: Any = {"$set": {"status": status, "updatedAt": clock.timestamp(), **fields}}
    guard: Any = {"status": payment["status"]}
    if event:
        publish, unchanged = outbox.append_event(payment, event)
        update, guard = merge_updates(update, publish), {**guard, **unchanged}
    moved = payments.update(payment["_id"], update, when=guard)
    if moved:
        metrics.count(moved)
    return moved
