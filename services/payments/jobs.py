"""Background job: refund the payments of canceled orders."""

from chassis.errors import TransientError
from chassis.observe.log import log
from services.payments import application, repository


def refund_cancelled_orders() -> None:
    """Refund what was noted, for ever until it is done."""
    for payment in repository.payments.find({"refundPending": True}):
        try:
            if payment["status"] == "completed":
                application.refund(payment)
            elif payment["status"] in ("failed", "refunded"):
                repository.payments.update(payment["_id"], {"$set": {"refundPending": False}})
        except TransientError as error:
            log.warning("a refund waits", orderId=payment["_id"], error=error)
