"""Handlers of the events of other services."""

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.store import merge_updates
from services.orders.messages import OrderCancelled
from services.payments import repository


def on_order_cancelled(event: OrderCancelled, meta: Meta) -> None:
    """Note that the payment of a cancelled order must go back; the sweep carries it out."""
    change = merge_updates({"$set": {"refundPending": True}}, inbox.seen(meta))
    repository.payments.update(event.order_id, change, when=inbox.unseen(meta))
