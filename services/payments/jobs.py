"""Background job: refund the payments of canceled orders."""

from chassis.events.set_aside import SetAside
from chassis.store import Doc
from services.payments import application, repository

_refunds = SetAside("refund_cancelled_orders")


def refund_cancelled_orders() -> None:
    """Refund every payment with a recorded intent; a refund that fails is retried in the next round."""
    _refunds.work_through(repository.payments, {"refundPending": True}, _refund)


def _refund(payment: Doc) -> None:
    if payment["status"] == "completed":
        application.refund(payment)
    elif payment["status"] in ("failed", "refunded"):
        repository.payments.update(payment["_id"], {"$set": {"refundPending": False}})
