"""The texts. They name the order, never the person: what is recorded here outlives an account by nothing."""

from chassis.messages import Event
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderDelivered, OrderRejected, OrderShipped

WELCOME = ("welcome", "Welcome to the shop", "Your account is ready. We are glad to have you.")

_TEXTS: dict[type[Event], tuple[str, str, str]] = {
    OrderConfirmed: ("order_confirmed", "Your order is confirmed", "We have your payment for order {order}."),
    OrderRejected: ("order_rejected", "Your order could not be placed", "Order {order} was not placed: {reason}."),
    OrderCancelled: ("order_cancelled", "Your order is cancelled", "Order {order} is cancelled; a payment goes back."),
    OrderShipped: ("order_shipped", "Your order is on its way", "Order {order} has left our house."),
    OrderDelivered: ("order_delivered", "Your order has arrived", "Order {order} was delivered. Enjoy it."),
}
ORDER_EVENTS = tuple(_TEXTS)


def text(event: Event) -> tuple[str, str, str]:
    """(kind, subject, body) of the notification about an event of an order."""
    kind, subject, body = _TEXTS[type(event)]
    return kind, subject, body.format(order=event.subject, reason=str(getattr(event, "reason", "")).replace("_", " "))
