"""What must hold between the payments and the provider's ledger."""

from collections.abc import Iterator

from chassis import clock
from chassis.audit import BATCH, Doubt, Finding
from chassis.store import Doc
from services.payments import application, domain, repository
from services.payments.providers import Capture


def payment_ids() -> Iterator[str]:
    return (doc["_id"] for doc in repository.payments.iterate())


UNDECIDED_AFTER_S = 900.0
"""Seconds after which a payment is decided: longer than a checkout goes on asking for it."""


def check_payments(ids: list[str]) -> Iterator[Doubt]:
    """Asks the provider once for each payment."""
    for payment in repository.payments.find({"_id": {"$in": ids}}, limit=BATCH):
        capture = application.provider.find(payment["_id"]) or Capture(0, 0)
        yield from check_payment(payment, capture.captured, capture.refunded)


def check_payment(payment: Doc, captured: int, refunded: int) -> Iterator[Finding]:
    """What does not agree between our books and what the provider has under the payment's key, in minor units."""
    id, amount, status = payment["_id"], payment["amount"], payment["status"]
    if captured not in (0, amount):
        yield Finding(id, "I2", f"captured {captured} of {amount}")
    if refunded > captured:
        yield Finding(id, "I2", f"refunded {refunded} of {captured}")
    if status in domain.OPEN:
        if payment["createdAt"] < clock.timestamp_ago(UNDECIDED_AFTER_S):
            yield Finding(id, "I1", f"is {status} since {payment['createdAt']}")
        return
    ours = (amount if status in ("completed", "refunded") else 0) - payment["refundedAmount"]
    if ours != captured - refunded and not payment["refundPending"]:
        yield Finding(id, "I1", f"is recorded with {ours}, but the provider holds {captured - refunded}")
