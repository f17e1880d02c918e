"""What becomes of a payment: which status follows which, and the event that says so.

pending -> completed -> refunded
   |-> unknown -> completed | failed
   +-> failed
"""

from chassis.errors import DomainError
from chassis.money import Money
from chassis.store import Doc
from services.payments.messages import PaymentCompleted, PaymentFailed, PaymentRefunded

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


def refusal(payment: Doc) -> DomainError:
    """Why a payment that failed or was refunded cannot be charged."""
    if payment["status"] == "failed" and payment["reason"] != CANCELLED:
        detail = f"The payment was declined: {payment['reason']}."
        return DomainError("payment_declined", "Payment declined", detail, reason=payment["reason"])
    return DomainError("payment_cancelled", "Payment cancelled", "The payment of this order was cancelled.")
