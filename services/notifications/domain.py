"""Which event notifies its user of what."""

from chassis.messages import Event
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderDelivered, OrderRejected, OrderShipped

ORDER_EVENTS: dict[type[Event], str] = {
    OrderConfirmed: "order_confirmed",
    OrderRejected: "order_rejected",
    OrderCancelled: "order_cancelled",
    OrderShipped: "order_shipped",
    OrderDelivered: "order_delivered",
}
"""Event -> kind of the notification of the buyer."""
CART_ABANDONED = "cart_abandoned"
ADVERTISING = frozenset({CART_ABANDONED})
"""Kinds that only users get who agreed to mails that advertise; each such mail has a link to unsubscribe."""
DECISIONS = (OrderConfirmed, OrderRejected, OrderCancelled)
"""Events after which the lines of an order are not needed any more."""
