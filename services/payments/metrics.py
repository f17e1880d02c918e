"""Metrics of payments.

The process whose write moves a payment to its outcome counts it: never twice, and not at all if the process crashes
right after the write.
"""

from chassis.observe.metrics import counter
from chassis.store import Doc
from services.payments.domain import CANCELLED

payments = counter("payments_total", "Payments by outcome", "outcome")

_OUTCOMES = {"completed": "captured", "refunded": "refunded", "failed": "refused"}

for _outcome in (*_OUTCOMES.values(), "cancelled"):
    payments[_outcome].inc(0)  # so that `rate` sees the first of each outcome


def count(payment: Doc) -> None:
    """Count a payment that has just got its status, unless its outcome is still open."""
    if outcome := _OUTCOMES.get(payment["status"]):
        payments["cancelled" if payment["reason"] == CANCELLED else outcome].inc()
