"""The events and commands of `inventory`."""

from typing import Annotated

from pydantic import Field

from chassis.errors import DomainError, NotFound
from chassis.messages import Command, Event
from chassis.schema import Id, Schema, growing

Quantity = Annotated[int, Field(ge=1, le=1_000_000_000)]
Stock = Annotated[int, Field(ge=0, le=1_000_000_000)]
MAX_STOCKED_PRODUCTS = 50
"""Products of one `StockProducts`."""


class Line(Schema):
    product_id: Id
    quantity: Quantity


class StockChanged(Event, type="stock.changed", key="product_id"):
    """The latest state of a stock; states between two events are not published."""

    product_id: Id
    available: int


class StockReserved(Event, type="stock.reserved", key="order_id"):
    order_id: Id
    lines: list[Line]


class StockReleased(Event, type="stock.released", key="order_id"):
    order_id: Id
    lines: list[Line]


class StockConfirmed(Event, type="stock.confirmed", key="order_id"):
    order_id: Id
    lines: list[Line]


class StockReturned(Event, type="stock.returned", key="order_id"):
    order_id: Id
    lines: list[Line]


class InsufficientStock(DomainError):
    """Fewer units are available than the caller wants."""

    def __init__(self, product_id: str, available: int, wanted: int) -> None:
        detail = f"Only {available} units of product {product_id} are available, not {wanted}."
        super().__init__(detail, productId=product_id, available=available)


class NotReserved(DomainError):
    """The order has no reservation."""

    def __init__(self) -> None:
        super().__init__("This order has no reservation.")


class ReservationReleased(DomainError, kind="released"):
    """The reservation of the order was released before."""

    def __init__(self) -> None:
        super().__init__("The reservation of this order was released.")


class StockProduct(Command, callers=("products",)):
    """Open the stock of a product, unless it exists; `by` is the administrator."""

    product_id: Id
    quantity: Stock
    by: str = ""


class ProductQuantity(Schema):
    product_id: Id
    quantity: Stock


class StockLevel(Schema):
    """The available units of a product; `sequence` is that of the event with them."""

    product_id: Id
    available: int
    sequence: int


class StockProducts(Command, callers=("products",), timeout_s=3.5):
    """Open the stocks of products that have none.

    With `replaces`, also set the available units of those that have one, once for each `dedup_key`.
    """

    items: Annotated[list[ProductQuantity], Field(min_length=1, max_length=MAX_STOCKED_PRODUCTS)]
    replaces: bool
    dedup_key: str
    by: str = ""

    class Reply(Schema):
        """The stocks as they are now, without those that are closed because their products were deleted."""

        items: list[StockLevel]


class AdjustStock(Command, callers=("products",), errors=(InsufficientStock, NotFound)):
    """Change the available units of a product, once for each `dedup_key`.

    `by` is the administrator, and `reason` what the administrator wrote.
    """

    product_id: Id
    adjustment: int
    dedup_key: str
    by: str = ""
    reason: str = ""

    class Reply(Schema):
        available: int
        sequence: int


class Reserve(Command, callers=("orders",), errors=(InsufficientStock, ReservationReleased)):
    """Reserve all lines of an order, or none."""

    order_id: Id
    lines: list[Line]

    class Reply(Schema):
        """`renew_after_ms`: milliseconds after which a third of the reservation is left; the caller renews it then."""

        renew_after_ms: int = 0


class RenewReservation(Command, callers=("orders",)):
    """Restart the time that a reservation has before it expires."""

    order_id: Id

    class Reply(Schema):
        """As of `Reserve`."""

        renew_after_ms: int = 0


class ConfirmStock(Command, callers=("orders",), errors=(InsufficientStock, NotReserved, ReservationReleased)):
    """Sell the reserved units; an expired reservation reserves them again first."""

    order_id: Id


ReservationStatus = Annotated[
    str,
    growing(
        *("reserving", "reserved", "refused", "confirming", "confirmed"),
        *("releasing", "released", "returning", "returned"),
    ),
]


class ReservationState(Schema):
    order_id: Id
    status: ReservationStatus
    lines: list[Line]


class GetReservations(Command, callers=("orders",), read_only=True, timeout_s=3.5):
    """Get the reservations of these orders; the reply leaves out orders without one."""

    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]

    class Reply(Schema):
        items: list[ReservationState]


class ListReservations(Command, callers=("orders",), read_only=True, timeout_s=3.5):
    """List the next orders that have a reservation, sorted by id; an empty page is the last."""

    after: str

    class Reply(Schema):
        order_ids: list[Id]


class Release(Command, callers=("orders",)):
    """Make the units of an order available again, and reject a `Reserve` or `ConfirmStock` that arrives later."""

    order_id: Id
