"""`/api/inventory`."""

from chassis.schema import Id, Schema, Timestamp
from chassis.store import Doc
from chassis.web.api import ADMIN, Api
from chassis.web.paging import Page, PageQuery, find_page
from services.inventory import repository
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


Reservations = Page[Reservation]


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


@api.get("/api/inventory/{id}/reservations", auth=ADMIN, responses={200: Reservations})
def list_reservations(id: str, query: PageQuery) -> Reservations:
    """List the reservations of a product, oldest first."""
    repository.get_stock(id)
    docs, cursor = find_page(repository.reservations, {"products": {"$all": [id]}}, query)
    return Reservations(items=[_view(doc, id) for doc in docs], next_cursor=cursor)


def _view(doc: Doc, product: str) -> Reservation:
    quantity = sum(line["quantity"] for line in doc["lines"] if line["productId"] == product)
    return Reservation(order_id=doc["_id"], quantity=quantity, status=doc["status"], expires_at=doc["expiresAt"])
