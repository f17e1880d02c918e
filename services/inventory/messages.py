"""What `inventory` says and can be asked."""

from typing import Annotated

from pydantic import Field

from chassis.errors import DomainError, NotFound
from chassis.messages import Command, Event
from chassis.schema import Id, Schema

Quantity = Annotated[int, Field(ge=1, le=1_000_000_000)]


class Line(Schema):
    product_id: Id
    quantity: Quantity


class StockChanged(Event, type="stock.changed", key="product_id"):
    """The latest wins: states between two of these are not told."""

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
        detail = f"Of product {product_id} there are {available} left, not {wanted}."
        super().__init__(detail, productId=product_id, available=available)


class NotReserved(DomainError):
    """The order has no reservation."""

    def __init__(self) -> None:
        super().__init__("This order has no reservation.")


class ReservationReleased(DomainError, kind="released"):
    """The reservation of the order was released before."""

    def __init__(self) -> None:
        super().__init__("The units of this order were given back.")


class StockProduct(Command):
    """Make the stock of a product unless it is there."""

    product_id: Id
    quantity: Annotated[int, Field(ge=0, le=1_000_000_000)]


class AdjustStock(Command, errors=(InsufficientStock, NotFound)):
    """Add to what is available, or take from it; once for each `dedup_key`."""

    product_id: Id
    adjustment: int
    dedup_key: str

    class Reply(Schema):
        available: int
        sequence: int


class Reserve(Command, errors=(InsufficientStock, ReservationReleased)):
    """Hold the lines of an order, all or none."""

    order_id: Id
    lines: list[Line]


class RenewReservation(Command):
    """Let a reservation begin its time anew."""

    order_id: Id


class ConfirmStock(Command, errors=(InsufficientStock, NotReserved, ReservationReleased)):
    """Sell what is reserved; an expired reservation is made again first."""

    order_id: Id


class ReservationState(Schema):
    order_id: Id
    status: str
    lines: list[Line]


class GetReservations(Command, read_only=True, timeout_s=3.5):
    """How the reservations of these orders stand; one that does not exist is left out."""

    order_ids: Annotated[list[Id], Field(min_length=1, max_length=100)]

    class Reply(Schema):
        items: list[ReservationState]


class ListReservations(Command, read_only=True, timeout_s=3.5):
    """The next orders that have a reservation, in the order of their ids; none after the last."""

    after: str

    class Reply(Schema):
        order_ids: list[Id]


class Release(Command):
    """Give back whatever the order holds or has bought; a late `Reserve` or `ConfirmStock` is refused from then on."""

    order_id: Id
