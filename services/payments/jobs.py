"""Background job: refund the payments of canceled orders."""

from chassis.errors import TransientError
from chassis.observe.log import log
from services.payments import application, repository


def refund_cancelled_orders() -> None:
    """Refund every payment with a recorded intent; a refund that fails is retried in the next round."""
    for payment in repository.payments.find({"refundPending": True}):
        try:
            if payment["status"] == "completed":
                application.refund(payment)
            elif payment["status"] in ("failed", "refunded"):
                repository.payments.update(payment["_id"], {"$set": {"refundPending": False}})
        except TransientError as error:
            log.warning("refund failed; retrying", orderId=payment["_id"], error=error)
