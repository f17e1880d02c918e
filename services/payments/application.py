"""Use cases of payments: a payment is stored before the provider is called, and decided by the provider's answer alone.

A payment has the id of its order, which makes a second payment of an order impossible.
"""

from chassis import clock
from chassis.audit import BATCH
from chassis.errors import OutcomeUnknown
from chassis.events import inbox, outbox
from chassis.failure_limits import FailureLimit
from chassis.observe.log import log
from chassis.sagas.waiting import UserAction
from chassis.store import MAX_PAGE_SIZE, Doc, Duplicate
from services.payments import domain, repository
from services.payments.messages import (
    CancelPayment,
    Charge,
    GetPayments,
    ListPayments,
    PaymentDeclined,
    PaymentState,
    TooManyDeclines,
)
from services.payments.providers import Capture, Provider, by_name
from services.payments.settings import settings

DECLINES = FailureLimit("declines", max_failures=3, window_s=600.0, first_wait_s=60.0, max_wait_s=3600.0)
"""Declined payments of a user; the limit stops card testing."""


def charge(command: Charge) -> Charge.Reply:
    """Capture the payment of an order, once however often it is repeated, or say what the buyer has to do first.

    Raises PaymentDeclined, PaymentCancelled, TooManyDeclines, OutcomeUnknown.
    """
    payment, url = _get_or_refuse(command), ""
    if payment["status"] in domain.OPEN:
        payment, url = _charge(payment, command)
    if url:
        action = UserAction(type="redirect", url=url, until=payment["waitsUntil"])
        return Charge.Reply(payment_id=payment["_id"], action=action)
    if payment["status"] in domain.OPEN:
        raise OutcomeUnknown("another attempt changed the payment meanwhile")
    if payment["status"] != "completed":
        raise domain.charge_error(payment)
    return Charge.Reply(payment_id=payment["_id"])


def cancel(command: CancelPayment) -> None:
    """Undo the charge of an order, whatever its outcome, and reject a late one. Raises OutcomeUnknown."""
    payment = _get_or_create(command, "unknown")
    if payment["status"] in domain.OPEN:
        capture = provider_of(payment).cancel(payment["_id"])
        if capture.captured:
            payment = repository.change_status(payment, "completed", domain.completed(payment))
        else:
            failed = domain.failed(payment, domain.CANCELLED)
            payment = repository.change_status(payment, "failed", failed, reason=domain.CANCELLED)
    if payment["status"] == "completed":
        payment = refund(payment)
    if payment["status"] not in ("failed", "refunded"):
        raise OutcomeUnknown("another attempt changed the payment meanwhile")


def refund(payment: Doc) -> Doc:
    """Refund a completed payment, and return it as it is then. Raises OutcomeUnknown."""
    capture = provider_of(payment).refund(payment["_id"])
    event = domain.refunded(payment)
    return repository.change_status(payment, "refunded", event, refundedAmount=capture.refunded, refundPending=False)


def reconcile(payment: Doc) -> None:
    """Bring a payment in line with what its provider holds. Raises OutcomeUnknown.

    A payment that the bank refused after it had asked the buyer is declined. A capture of a payment that failed is
    refunded. A partial refund that was made at the provider is recorded, and publishes nothing.
    """
    capture = find_capture(payment)
    if payment["status"] in domain.OPEN and capture.captured:
        payment = repository.change_status(payment, "completed", domain.completed(payment))
    elif payment["status"] in domain.OPEN and (reason := provider_of(payment).refusal(payment["_id"])):
        payment = _decline(payment, reason)
    if payment["status"] == "failed" and capture.refunded < capture.captured:
        log.error("captured after it failed; refunding", orderId=payment["_id"])
        provider_of(payment).refund(payment["_id"])
    if payment["status"] == "completed" and capture.refunded > payment["refundedAmount"]:
        recorded = {"$set": {"refundedAmount": capture.refunded, "updatedAt": clock.timestamp()}}
        repository.payments.update(payment["_id"], recorded, when={"status": "completed"})


def provider_of(payment: Doc) -> Provider:
    """Return the provider that has a payment, which may not be that of new payments."""
    return by_name(payment["provider"])


def find_capture(payment: Doc) -> Capture:
    """Return what the provider holds of a payment. Raises OutcomeUnknown."""
    return provider_of(payment).find(payment["_id"]) or Capture(0, 0)


def get_payments(command: GetPayments) -> GetPayments.Reply:
    """Return the state of the payments of some orders."""
    found = repository.payments.find({"_id": {"$in": command.order_ids}}, limit=BATCH)
    return GetPayments.Reply(items=[_state(payment) for payment in found])


def list_payments(command: ListPayments) -> ListPayments.Reply:
    """Return the next page of the orders that have a payment."""
    page = repository.payments.find(after=(command.after, command.after), limit=MAX_PAGE_SIZE)
    return ListPayments.Reply(order_ids=[payment["_id"] for payment in page])


def _get_or_refuse(command: Charge) -> Doc:
    """Return the payment of an order; a new one is refused while its user has to wait.

    A payment that exists may have been charged, and is left to the provider.
    """
    wait_s = DECLINES.wait_s(command.user_id)
    if not wait_s or repository.payments.get(command.order_id):
        return _get_or_create(command, "pending")
    payment = _get_or_create(command, "failed", domain.TOO_MANY_DECLINES)
    if payment["reason"] == domain.TOO_MANY_DECLINES:
        raise TooManyDeclines(wait_s)
    return payment


def _get_or_create(command: Charge | CancelPayment, status: str, reason: str = "") -> Doc:
    now = clock.timestamp()
    payment: Doc = {
        "_id": command.order_id,
        "orderId": command.order_id,
        "userId": command.user_id,
        "amount": command.total,
        "currency": command.currency,
        "status": status,
        "reason": reason,
        "refundedAmount": 0,
        "refundPending": False,
        "provider": settings().payment_provider,
        "createdAt": now,
        "updatedAt": now,
        **inbox.new_inbox("orders"),
    }
    events = (domain.failed(payment, reason),) if reason else ()
    payment |= outbox.new_outbox(command.order_id, *events)
    try:
        repository.insert(payment)
    except Duplicate:
        return repository.get(command.order_id)
    return payment


def _charge(payment: Doc, command: Charge) -> tuple[Doc, str]:
    """Charge the payment, unless an earlier attempt captured it and lost the answer, or its buyer must confirm it.

    Return it as it is then, with the address at which the buyer confirms it, or "". Raises OutcomeUnknown.
    """
    provider, url = provider_of(payment), ""
    waits = command.may_wait and domain.may_wait(payment)
    try:
        if payment["amount"] and provider.find(payment["_id"]) is None:
            url = provider.charge(payment["_id"], payment["amount"], payment["currency"], command.payment_token, waits)
    except PaymentDeclined as declined:
        return _decline(payment, declined.extra["reason"]), ""
    except OutcomeUnknown:
        repository.change_status(payment, "unknown")
        raise
    if url:
        return _wait(payment), url
    return repository.change_status(payment, "completed", domain.completed(payment)), ""


def _decline(payment: Doc, reason: str) -> Doc:
    """End a payment that the provider declined; return it as it is then."""
    moved = repository.move(payment, "failed", domain.failed(payment, reason), reason=reason)
    if moved and reason != domain.CANCELLED:  # else another process decided it, and counted it if it was a decline
        DECLINES.count(payment["userId"])
    return moved or repository.get(payment["_id"])


def _wait(payment: Doc) -> Doc:
    """Give the buyer time to confirm a payment, once; return it with that. Raises OutcomeUnknown."""
    if payment.get("waitsUntil"):
        return payment
    changed = {"waitsUntil": clock.timestamp_in(settings().bank_confirmation), "updatedAt": clock.timestamp()}
    unchanged = {"status": payment["status"], "updatedAt": payment["updatedAt"]}
    payment = repository.payments.update(payment["_id"], {"$set": changed}, when=unchanged) or repository.get(
        payment["_id"]
    )
    if not payment.get("waitsUntil"):
        raise OutcomeUnknown("another attempt changed the payment meanwhile")
    return payment


def _state(payment: Doc) -> PaymentState:
    return PaymentState(
        order_id=payment["_id"],
        amount=payment["amount"],
        currency=payment["currency"],
        status=payment["status"],
        refunded=payment["refundedAmount"],
    )
