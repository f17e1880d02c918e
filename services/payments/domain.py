"""What becomes of a payment: which status follows which, and the event that says so.

pending -> completed -> refunded
   |-> unknown -> completed | failed
   +-> failed
"""

from collections.abc import Iterator

from chassis import clock
from chassis.audit import Finding
from chassis.errors import DomainError
from chassis.money import Money
from chassis.store import Doc
from services.payments.messages import PaymentCompleted, PaymentFailed, PaymentRefunded

OPEN = ("pending", "unknown")
CANCELLED = "cancelled"
UNDECIDED = 900.0
"""Seconds after which a payment is decided: longer than a checkout goes on asking for it."""


def completed(payment: Doc) -> PaymentCompleted:
    return PaymentCompleted(
        payment_id=payment["_id"],
        order_id=payment["_id"],
        amount=str(Money(payment["amount"], payment["currency"])),
        currency=payment["currency"],
    )


def failed(payment: Doc, reason: str) -> PaymentFailed:
    return PaymentFailed(
        payment_id=payment["_id"],
        order_id=payment["_id"],
        amount=str(Money(payment["amount"], payment["currency"])),
        currency=payment["currency"],
        reason=reason,
    )


def refunded(payment: Doc) -> PaymentRefunded:
    return PaymentRefunded(
        payment_id=payment["_id"],
        order_id=payment["_id"],
        amount=str(Money(payment["amount"], payment["currency"])),
        currency=payment["currency"],
    )


def refusal(payment: Doc) -> DomainError:
    """Why a payment that failed or was refunded cannot be charged."""
    if payment["status"] == "failed" and payment["reason"] != CANCELLED:
        detail = f"The payment was declined: {payment['reason']}."
        return DomainError("payment_declined", "Payment declined", detail, reason=payment["reason"])
    return DomainError("payment_cancelled", "Payment cancelled", "The payment of this order was cancelled.")


def wrong(payment: Doc, captured: int, refunded: int) -> Iterator[Finding]:
    """What does not agree between our books and what the provider has under the payment's key, in minor units."""
    id, amount, status = payment["_id"], payment["amount"], payment["status"]
    if captured not in (0, amount):
        yield Finding(id, "I2", f"captured {captured} of {amount}")
    if refunded > captured:
        yield Finding(id, "I2", f"refunded {refunded} of {captured}")
    if status in OPEN:
        if payment["createdAt"] < clock.timestamp_ago(UNDECIDED):
            yield Finding(id, "I1", f"is {status} since {payment['createdAt']}")
        return
    ours = (amount if status in ("completed", "refunded") else 0) - payment["refundedAmount"]
    if ours != captured - refunded and not payment["refund"]:
        yield Finding(id, "I1", f"our books hold {ours}, the provider {captured - refunded}")
