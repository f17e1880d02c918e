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
DECISIONS = (OrderConfirmed, OrderRejected, OrderCancelled)
"""Events after which the lines of an order are not needed any more."""
