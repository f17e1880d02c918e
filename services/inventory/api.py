"""`/api/inventory`."""

from typing import Annotated

from chassis.schema import Id, Schema, Timestamp, growing
from chassis.store import Doc
from chassis.web.api import ADMIN, Api
from chassis.web.paging import Page, PageQuery, find_page, read_cursor, write_cursor
from services.inventory import history, repository
from services.inventory.messages import ReservationStatus

api = Api()


class Stock(Schema):
    product_id: Id
    available: int
    reserved: int
    sold: int
    updated_at: Timestamp


class Reservation(Schema):
    order_id: Id
    quantity: int
    status: ReservationStatus
    expires_at: Timestamp


class Movement(Schema):
    """A change of the available units; of an order, `change` is what it holds or bought as of now."""

    id: Id
    at: Timestamp
    kind: Annotated[str, growing("opened", "adjusted", "set", "order")]
    change: int
    available: int | None
    """The available units after the change; null for an order."""
    by: str
    """The administrator; empty for an order."""
    reason: str
    """What the administrator wrote; of an order, the status of its reservation."""


Reservations = Page[Reservation]
History = Page[Movement]


@api.get("/api/inventory/{id}", auth=ADMIN, responses={200: Stock})
def get_stock(id: str) -> Stock:
    """Get the stock of a product."""
    doc = repository.get_stock(id)
    return Stock(
        product_id=id,
        available=doc["available"],
        reserved=doc["reserved"],
        sold=doc["sold"],
        updated_at=doc["updatedAt"],
    )


@api.get("/api/inventory/{id}/history", auth=ADMIN, responses={200: History})
def list_history(id: str, query: PageQuery) -> History:
    """List what changed the stock of a product, newest first: who, when, why, and the orders that took units."""
    stock = repository.get_stock(id)
    scope = ["history", id]
    entries, after = history.page(stock, query.limit, read_cursor(query.cursor, scope))
    return History(
        items=[Movement.model_validate(entry) for entry in entries],
        next_cursor=write_cursor(after, scope) if after else None,
    )


@api.get("/api/inventory/{id}/reservations", auth=ADMIN, responses={200: Reservations})
def list_reservations(id: str, query: PageQuery) -> Reservations:
    """List the reservations of a product, oldest first."""
    repository.get_stock(id)
    docs, cursor = find_page(repository.reservations, {"products": {"$all": [id]}}, query)
    return Reservations(items=[_view(doc, id) for doc in docs], next_cursor=cursor)


def _view(doc: Doc, product: str) -> Reservation:
    quantity = sum(line["quantity"] for line in doc["lines"] if line["productId"] == product)
    return Reservation(order_id=doc["_id"], quantity=quantity, status=doc["status"], expires_at=doc["expiresAt"])
