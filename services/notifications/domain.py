"""The texts of notifications. They name the order and never the person, so that they hold no personal data."""

from typing import NamedTuple

from chassis.messages import Event
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderDelivered, OrderRejected, OrderShipped


class Text(NamedTuple):
    """What a notification says."""

    kind: str
    subject: str
    body: str


WELCOME = Text("welcome", "Welcome to the shop", "Your account is ready. We are glad to have you.")

_ORDER_TEXTS: dict[type[Event], Text] = {
    OrderConfirmed: Text(
        "order_confirmed", "Your order is confirmed", "We have received your payment for order {order}."
    ),
    OrderRejected: Text(
        "order_rejected", "Your order could not be placed", "Order {order} could not be placed: {reason}."
    ),
    OrderCancelled: Text(
        "order_cancelled", "Your order is canceled", "Order {order} is canceled. Any payment will be refunded."
    ),
    OrderShipped: Text("order_shipped", "Your order is on its way", "Order {order} has shipped."),
    OrderDelivered: Text("order_delivered", "Your order has arrived", "Order {order} was delivered. Enjoy it!"),
}
ORDER_EVENTS = tuple(_ORDER_TEXTS)


def order_text(event: Event) -> Text:
    """Return the text of the notification about an event of an order."""
    text = _ORDER_TEXTS[type(event)]
    reason = str(getattr(event, "reason", "")).replace("_", " ")
    return text._replace(body=text.body.format(order=event.subject, reason=reason))
