"""Handlers of events: those of other services, and the service's own."""

from chassis.events.envelope import Meta
from chassis.messages import Event
from services.inventory.messages import StockReturned
from services.orders import application, checkout, domain, projection, quotas
from services.orders.messages import OrderRejected
from services.payments.messages import PaymentCompleted, PaymentFailed, PaymentRefunded


def on_payment_decided(event: PaymentCompleted | PaymentFailed, meta: Meta) -> None:
    """Let a checkout that waits for its buyer ask what became of the payment."""
    checkout.resume(event.order_id)


def on_payment_refunded(event: PaymentRefunded, meta: Meta) -> None:
    """Record the refund in the timeline of the order."""
    application.execute(event.order_id, domain.note_refund)


def on_stock_returned(event: StockReturned, meta: Meta) -> None:
    """Record the return of the stock in the timeline of the order."""
    application.execute(event.order_id, domain.note_restock)


def on_order_event(event: Event, meta: Meta) -> None:
    """Update the list, in case the process that committed the event crashed before it could; forget rejected orders."""
    projection.refresh(event.subject)
    if isinstance(event, OrderRejected):
        quotas.forget_order(event.user_id, event.order_id)
