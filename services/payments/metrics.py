"""What becomes of payments: counted by the process whose write settled one, so never twice.

A process that dies right after its write has not counted it.
"""

from chassis.observe.metrics import counter
from chassis.store import Doc
from services.payments.domain import CANCELLED

payments = counter("payments_total", "Payments by outcome", "outcome")

_OUTCOMES = {"completed": "captured", "refunded": "refunded", "failed": "refused"}


for _outcome in (*_OUTCOMES.values(), "cancelled"):
    payments[_outcome].inc(0)  # so that the first of a kind shows as a step up


def count(payment: Doc) -> None:
    """Count a payment that has just come to this status; one whose outcome is not known is none yet."""
    if outcome := _OUTCOMES.get(payment["status"]):
        payments["cancelled" if payment["reason"] == CANCELLED else outcome].inc()
