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
    "payments", Index("userId"), Index("orderId"), Index("refundPending", partial={"refundPending": True}), outbox.PENDING
)


def get(id: str) -> Doc:
    """Raises NotFound."""
    trace.about(orderId=id)
    payment = payments.get(id)
    if payment is None:
        raise NotFound("payment")
    return payment


def change_status(payment: Doc, status: str, event: Event | None = None, **fields: Any) -> Doc:
    """The payment in its next status, or as another moved it meanwhile."""
    change: Any = {"$set": {"status": status, "updatedAt": clock.timestamp(), **fields}}
    when: Any = {"status": payment["status"]}
    if event:
        says, guard = outbox.append_event(payment, event)
        change, when = merge_updates(change, says), {**when, **guard}
    moved = payments.update(payment["_id"], change, when=when)
    if moved is None:
        return get(payment["_id"])
    metrics.count(moved)
    return moved
