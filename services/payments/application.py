"""Use cases of payments: recorded before the provider is called, and decided by its answer alone.

A payment has the id of its order, which makes a second payment of an order impossible.
"""

from chassis import clock
from chassis.audit import BATCH
from chassis.errors import OutcomeUnknown
from chassis.events import inbox, outbox
from chassis.store import LARGEST_PAGE, Doc, Duplicate
from services.payments import domain, repository
from services.payments.messages import CancelPayment, Charge, GetPayments, ListPayments, PaymentDeclined, PaymentState
from services.payments.providers import Provider
from services.payments.providers.test import TestProvider


def get_payments(command: GetPayments) -> GetPayments.Reply:
    found = repository.payments.find({"_id": {"$in": command.order_ids}}, limit=BATCH)
    return GetPayments.Reply(items=[_state(payment) for payment in found])


provider: Provider = TestProvider()


def list_payments(command: ListPayments) -> ListPayments.Reply:
    page = repository.payments.find(after=(command.after, command.after), limit=LARGEST_PAGE)
    return ListPayments.Reply(order_ids=[payment["_id"] for payment in page])


def charge(command: Charge) -> Charge.Reply:
    """Raises PaymentDeclined, PaymentCancelled, OutcomeUnknown."""
    payment = _get_or_create(command, "pending")
    if payment["status"] in domain.OPEN:
        payment = _charge(payment, command.payment_token)
    if payment["status"] in domain.OPEN:
        raise OutcomeUnknown("another try of this payment came between")
    if payment["status"] != "completed":
        raise domain.charge_error(payment)
    return Charge.Reply(payment_id=payment["_id"])


def _state(payment: Doc) -> PaymentState:
    return PaymentState(
        order_id=payment["_id"],
        amount=payment["amount"],
        currency=payment["currency"],
        status=payment["status"],
        refunded=payment["refundedAmount"],
    )


def cancel(command: CancelPayment) -> None:
    """Whatever the charge has come to, it is undone when this returns. Raises OutcomeUnknown."""
    payment = _get_or_create(command, "unknown")
    if payment["status"] in domain.OPEN:
        capture = provider.cancel(payment["_id"])
        if capture.captured:
            payment = repository.change_status(payment, "completed", domain.completed(payment))
        else:
            payment = repository.change_status(
                payment, "failed", domain.failed(payment, domain.CANCELLED), reason=domain.CANCELLED
            )
    if payment["status"] == "completed":
        payment = refund(payment)
    if payment["status"] not in ("failed", "refunded"):
        raise OutcomeUnknown("the payment changed meanwhile")


def refund(payment: Doc) -> Doc:
    capture = provider.refund(payment["_id"])
    told = domain.refunded(payment)
    return repository.change_status(payment, "refunded", told, refundedAmount=capture.refunded, refundPending=False)


def _charge(payment: Doc, token: str) -> Doc:
    """Charge, unless an earlier try has done it unseen."""
    try:
        found = provider.find(payment["_id"])
        if found is None:
            provider.charge(payment["_id"], payment["amount"], payment["currency"], token)
    except PaymentDeclined as no:
        reason = no.extra["reason"]
        return repository.change_status(payment, "failed", domain.failed(payment, reason), reason=reason)
    except OutcomeUnknown:
        repository.change_status(payment, "unknown")
        raise
    return repository.change_status(payment, "completed", domain.completed(payment))


def _get_or_create(command: Charge | CancelPayment, status: str) -> Doc:
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
        "refundPending": False,
        "provider": provider.name,
        "createdAt": now,
        "updatedAt": now,
        **inbox.new_inbox("orders"),
        **outbox.new_outbox(command.order_id),
    }
    try:
        repository.payments.insert(payment)
    except Duplicate:
        return repository.get(command.order_id)
    return payment
