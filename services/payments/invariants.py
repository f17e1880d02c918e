"""What must hold between the payments and the provider's ledger."""

from collections.abc import Iterator

from chassis import clock
from chassis.audit import BATCH, Finding, Suspect
from chassis.sagas.waiting import OVERDUE_AFTER_S
from chassis.store import Doc
from services.payments import application, domain, repository

UNDECIDED_AFTER_S = 900.0
"""Time in which a payment is decided: longer than a checkout retries it. One that waited for its buyer has less."""


def check_payment(payment: Doc, captured: int, refunded: int) -> Iterator[Finding]:
    """Check a payment against what the provider holds under its key, in minor units."""
    id, amount, status = payment["_id"], payment["amount"], payment["status"]
    if captured not in (0, amount):
        yield Finding(id, "I2", f"captured {captured} of {amount}")
    if refunded > captured:
        yield Finding(id, "I2", f"refunded {refunded} of {captured}")
    if status in domain.OPEN:
        if _is_late(payment):
            yield Finding(id, "I1", f"is {status} since {payment['createdAt']}")
        return
    recorded = (amount if status in ("completed", "refunded") else 0) - payment["refundedAmount"]
    if recorded != captured - refunded and not payment["refundPending"]:
        yield Finding(id, "I1", f"is recorded with {recorded}, but the provider holds {captured - refunded}")


def _is_late(payment: Doc) -> bool:
    until: str = payment.get("waitsUntil", "")
    if until:
        return until < clock.timestamp_ago(OVERDUE_AFTER_S)
    return bool(payment["createdAt"] < clock.timestamp_ago(UNDECIDED_AFTER_S))


def payment_ids() -> Iterator[str]:
    """Yield the ids of all payments."""
    return (payment["_id"] for payment in repository.payments.iterate())


def check_payments(ids: list[str]) -> Iterator[Suspect]:
    """Check these payments, with one call to the provider for each."""
    for payment in repository.payments.find({"_id": {"$in": ids}}, limit=BATCH):
        capture = application.find_capture(payment)
        yield from check_payment(payment, capture.captured, capture.refunded)
