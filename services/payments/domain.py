"""The statuses of a payment, and the event of each.

pending -> completed -> refunded
   |-> unknown -> completed | failed
   +-> failed
"""

from chassis import clock
from chassis.money import decimal_string
from chassis.store import Doc
from services.payments.messages import (
    PaymentCancelled,
    PaymentCompleted,
    PaymentDeclined,
    PaymentFailed,
    PaymentRefunded,
    TooManyDeclines,
)

OPEN = ("pending", "unknown")
"""Statuses in which the outcome of the charge is not known yet."""
CANCELLED = "cancelled"
"""The reason of a failed payment that was canceled before the provider captured it."""
REPEATED_WAIT_S = 60
"""The wait in the error of a repeated charge of a refused payment. Only a new order can be charged."""
TOO_MANY_DECLINES = "too_many_declines"
"""The reason of a failed payment that was not tried, because too many payments of its user were declined."""


def may_wait(payment: Doc) -> bool:
    """Return whether the buyer still has time to confirm a payment at the bank, or was not asked yet."""
    until: str = payment.get("waitsUntil", "")  # 0.2.0 stored none
    return not until or clock.timestamp() < until


def completed(payment: Doc) -> PaymentCompleted:
    """Return the event of a captured payment."""
    return PaymentCompleted(
        payment_id=payment["_id"],
        order_id=payment["_id"],
        amount=decimal_string(payment["amount"], payment["currency"]),
        currency=payment["currency"],
    )


def failed(payment: Doc, reason: str) -> PaymentFailed:
    """Return the event of a payment that was declined or canceled."""
    return PaymentFailed(
        payment_id=payment["_id"],
        order_id=payment["_id"],
        amount=decimal_string(payment["amount"], payment["currency"]),
        currency=payment["currency"],
        reason=reason,
    )


def refunded(payment: Doc) -> PaymentRefunded:
    """Return the event of a refunded payment."""
    return PaymentRefunded(
        payment_id=payment["_id"],
        order_id=payment["_id"],
        amount=decimal_string(payment["amount"], payment["currency"]),
        currency=payment["currency"],
    )


def charge_error(payment: Doc) -> PaymentDeclined | PaymentCancelled | TooManyDeclines:
    """Return the error of a charge whose payment failed or was refunded."""
    if payment["reason"] == TOO_MANY_DECLINES:
        return TooManyDeclines(REPEATED_WAIT_S)
    if payment["status"] == "failed" and payment["reason"] != CANCELLED:
        return PaymentDeclined(payment["reason"])
    return PaymentCancelled()
