"""What becomes of a payment: which status follows which, and the event that says so.

pending -> completed -> refunded
   |-> unknown -> completed | failed
   +-> failed
"""

from chassis.money import Money
from chassis.store import Doc
from services.payments.messages import (
    PaymentCancelled,
    PaymentCompleted,
    PaymentDeclined,
    PaymentFailed,
    PaymentRefunded,
)

OPEN = ("pending", "unknown")
CANCELLED = "cancelled"


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


def charge_error(payment: Doc) -> PaymentDeclined | PaymentCancelled:
    """Why a payment that failed or was refunded cannot be charged."""
    if payment["status"] == "failed" and payment["reason"] != CANCELLED:
        return PaymentDeclined(payment["reason"])
    return PaymentCancelled()
