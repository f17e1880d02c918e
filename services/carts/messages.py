"""The events and commands of `carts`. The cart of a user has the id of the user."""

from chassis.errors import DomainError, ErrorCategory, NotFound
from chassis.messages import Command, Event
from chassis.personal_data import ExportQuery
from chassis.schema import Id, Schema


class CartMerged(Event, type="cart.merged", key="user_id"):
    """The cart of a guest, `cart_id`, became part of the cart of a user."""

    cart_id: Id
    user_id: Id


class AbandonedItem(Schema):
    product_id: Id
    name: str
    quantity: int


class CartAbandoned(Event, type="cart.abandoned", key="cart_id"):
    """A user left lines in the cart, and has not changed it for a day."""

    cart_id: Id
    user_id: Id
    items: list[AbandonedItem]


class CartLine(Schema):
    product_id: Id
    quantity: int


class CartChanged(DomainError, category=ErrorCategory.VERSION_CONFLICT):
    """The cart has another version than the buyer saw."""

    def __init__(self) -> None:
        super().__init__("Read the cart again, and order with its present version.")


class GetCart(Command, callers=("orders",), read_only=True, errors=(NotFound, CartChanged)):
    """Get the lines of a user's cart in this version, to order them."""

    user_id: Id
    cart_id: Id
    version: int

    class Reply(Schema):
        lines: list[CartLine]


class ExportUser(ExportQuery, callers=("users",), read_only=True, timeout_s=2.0):
    """Return what `carts` keeps about a user."""
