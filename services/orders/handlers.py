"""Handlers of events."""

from chassis.events.envelope import Meta
from chassis.messages import Event
from services.inventory.messages import StockReturned
from services.orders import application, domain, projection
from services.payments.messages import PaymentRefunded


def on_payment_refunded(event: PaymentRefunded, meta: Meta) -> None:
    application.decide(event.order_id, domain.note_refund)


def on_stock_returned(event: StockReturned, meta: Meta) -> None:
    application.decide(event.order_id, domain.note_restock)


def on_order_event(event: Event, meta: Meta) -> None:
    """Bring the list up to one of our own events, in case the process that committed it could not."""
    projection.refresh(event.subject)
