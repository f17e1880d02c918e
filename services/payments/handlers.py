"""Payments: recorded before the provider is called, settled by what it says, and by nothing else.

A payment has the id of its order: that is what makes a second one impossible.
"""

from typing import Any

from chassis import clock
from chassis.errors import NotFound, OutcomeUnknown, TransientError
from chassis.events import inbox, outbox
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.observe import trace
from chassis.observe.log import log
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.orders.messages import OrderCancelled
from services.payments import domain, metrics
from services.payments.messages import CancelPayment, Charge
from services.payments.providers import Declined, Provider
from services.payments.providers.test import TestProvider

payments = Collection(
    "payments", Index("userId"), Index("orderId"), Index("refund", partial={"refund": True}), outbox.PENDING
)
provider: Provider = TestProvider()


def charge(command: Charge) -> Charge.Reply:
    """Raises Declined, DomainError `payment_cancelled`, OutcomeUnknown."""
    payment = _recorded(command, "pending")
    if payment["status"] in domain.OPEN:
        payment = _settled(payment, command.payment_token)
    if payment["status"] in domain.OPEN:
        raise OutcomeUnknown("another try of this payment came between")
    if payment["status"] != "completed":
        raise domain.refusal(payment)
    return Charge.Reply(payment_id=payment["_id"])


def cancel(command: CancelPayment) -> None:
    """Whatever the charge has come to, it is undone when this returns. Raises OutcomeUnknown."""
    payment = _recorded(command, "unknown")
    if payment["status"] in domain.OPEN:
        capture = provider.cancel(payment["_id"])
        if capture.captured:
            payment = _move(payment, "completed", domain.completed(payment))
        else:
            payment = _move(payment, "failed", domain.failed(payment, domain.CANCELLED), reason=domain.CANCELLED)
    if payment["status"] == "completed":
        payment = _refunded(payment)
    if payment["status"] not in ("failed", "refunded"):
        raise OutcomeUnknown("the payment changed meanwhile")


def note_cancelled(event: OrderCancelled, meta: Meta) -> None:
    """Note that the payment of a cancelled order must go back; the sweep carries it out."""
    change = merge_updates({"$set": {"refund": True}}, inbox.seen(meta))
    payments.update(event.order_id, change, when=inbox.unseen(meta))


def sweep_refunds() -> None:
    """Refund what was noted, for ever until it is done."""
    for payment in payments.find({"refund": True}):
        try:
            if payment["status"] == "completed":
                _refunded(payment)
            elif payment["status"] in ("failed", "refunded"):
                payments.update(payment["_id"], {"$set": {"refund": False}})
        except TransientError as error:
            log.warning("a refund waits", orderId=payment["_id"], error=error)


def get(id: str) -> Doc:
    """Raises NotFound."""
    trace.about(orderId=id)
    payment = payments.get(id)
    if payment is None:
        raise NotFound("payment")
    return payment


def _recorded(command: Charge | CancelPayment, status: str) -> Doc:
    """The payment of this order, from now on if there was none."""
    now = clock.timestamp()
    payment = {
        "_id": command.order_id,
        "orderId": command.order_id,
        "userId": command.user_id,
        "amount": command.total,
        "currency": command.currency,
        "status": status,
        "reason": "",
        "refundedAmount": 0,
        "refund": False,
        "provider": provider.name,
        "createdAt": now,
        "updatedAt": now,
        **inbox.empty("orders"),
        **outbox.new_outbox(command.order_id),
    }
    try:
        payments.insert(payment)
    except Duplicate:
        return get(command.order_id)
    return payment


def _settled(payment: Doc, token: str) -> Doc:
    """Charge, unless an earlier try has done it unseen."""
    try:
        found = provider.find(payment["_id"])
        if found is None:
            provider.charge(payment["_id"], payment["amount"], payment["currency"], token)
    except Declined as no:
        reason = no.extra["reason"]
        return _move(payment, "failed", domain.failed(payment, reason), reason=reason)
    except OutcomeUnknown:
        _move(payment, "unknown")
        raise
    return _move(payment, "completed", domain.completed(payment))


def _refunded(payment: Doc) -> Doc:
    capture = provider.refund(payment["_id"])
    told = domain.refunded(payment)
    return _move(payment, "refunded", told, refundedAmount=capture.refunded, refund=False)


def _move(payment: Doc, status: str, event: Event | None = None, **fields: Any) -> Doc:
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
