"""Whether the payments agree with what the provider has; and what is told of them to an audit of the orders."""

from collections.abc import Iterator

from chassis.audit import BATCH, Doubt
from chassis.store import LARGEST_PAGE, Doc
from services.payments import domain, handlers
from services.payments.messages import ListPayments, PaymentState, TellPayments
from services.payments.providers import Capture


def ids() -> Iterator[str]:
    return (doc["_id"] for doc in handlers.payments.iterate())


def judge(ids: list[str]) -> Iterator[Doubt]:
    """Asks the provider once for each payment."""
    for payment in handlers.payments.find({"_id": {"$in": ids}}, limit=BATCH):
        capture = handlers.provider.find(payment["_id"]) or Capture(0, 0)
        yield from domain.wrong(payment, capture.captured, capture.refunded)


def tell(command: TellPayments) -> TellPayments.Reply:
    found = handlers.payments.find({"_id": {"$in": command.order_ids}}, limit=BATCH)
    return TellPayments.Reply(items=[_state(payment) for payment in found])


def list_orders(command: ListPayments) -> ListPayments.Reply:
    page = handlers.payments.find(after=(command.after, command.after), limit=LARGEST_PAGE)
    return ListPayments.Reply(order_ids=[payment["_id"] for payment in page])


def _state(payment: Doc) -> PaymentState:
    return PaymentState(
        order_id=payment["_id"],
        amount=payment["amount"],
        currency=payment["currency"],
        status=payment["status"],
        refunded=payment["refundedAmount"],
    )
