"""Handler of the events of `orders`."""

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.store import merge_updates
from services.orders.messages import OrderCancelled
from services.payments import repository


def on_order_cancelled(event: OrderCancelled, meta: Meta) -> None:
    """Record the intent to refund the payment of a canceled order; a job carries it out."""
    update = merge_updates({"$set": {"refundPending": True}}, inbox.mark_applied(meta))
    repository.payments.update(event.order_id, update, when=inbox.not_applied(meta))
