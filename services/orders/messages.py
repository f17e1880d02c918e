"""The events of `orders`. Prices are decimals of the order's currency."""

from chassis.messages import Event
from chassis.personal_data import ExportQuery
from chassis.schema import Id, Schema


class OrderItem(Schema):
    product_id: Id
    name: str
    quantity: int
    price: str


class OrderPlaced(Event, type="order.placed", key="order_id"):
    order_id: Id
    user_id: Id
    items: list[OrderItem]
    total_amount: str
    currency: str
    cart_id: Id | None = None
    """The cart that was ordered."""


class OrderConfirmed(Event, type="order.confirmed", key="order_id"):
    order_id: Id
    user_id: Id
    payment_id: Id


class OrderRejected(Event, type="order.rejected", key="order_id"):
    order_id: Id
    user_id: Id
    reason: str


class OrderCancelled(Event, type="order.cancelled", key="order_id"):
    order_id: Id
    user_id: Id
    reason: str


class OrderShipped(Event, type="order.shipped", key="order_id"):
    order_id: Id
    user_id: Id


class OrderDelivered(Event, type="order.delivered", key="order_id"):
    order_id: Id
    user_id: Id


class ExportUser(ExportQuery, callers=("users",), read_only=True, timeout_s=2.0):
    """Return what `orders` keeps about a user."""
