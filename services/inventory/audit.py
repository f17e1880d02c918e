"""Whether the stock agrees with the reservations; and what is told of these to an audit of the orders."""

from collections.abc import Iterator

from chassis import clock
from chassis.audit import BATCH, Doubt, Unseen
from chassis.store import LARGEST_PAGE, Doc
from services.inventory import domain, handlers
from services.inventory.messages import Line, ListReservations, ReservationState, TellReservations

_TRIES, _PAUSE = 10, 0.05


def products() -> Iterator[str]:
    return (doc["_id"] for doc in handlers.stock.iterate())


def judge_products(ids: list[str]) -> Iterator[Doubt]:
    for doc in handlers.stock.find({"_id": {"$in": ids}}, limit=BATCH):
        yield from domain.wrong_stock(doc)
        holders = [order for order, mark in doc["holds"].items() if mark["quantity"]]
        for order in holders:
            yield from domain.wrong_hold(doc, order, handlers.reservations.get(order))
        yield from _judge_sold(doc)


def reservations() -> Iterator[str]:
    return (doc["_id"] for doc in handlers.reservations.iterate())


def judge_reservations(ids: list[str]) -> Iterator[Doubt]:
    for doc in handlers.reservations.find({"_id": {"$in": ids}}, limit=BATCH):
        held = doc["products"] if doc["status"] == "reserved" else []
        found = handlers.stock.find({"_id": {"$in": held}}, limit=LARGEST_PAGE) if held else []
        yield from domain.wrong_reservation(doc, {stock["_id"]: stock for stock in found})


def tell_reservations(command: TellReservations) -> TellReservations.Reply:
    found = handlers.reservations.find({"_id": {"$in": command.order_ids}}, limit=BATCH)
    return TellReservations.Reply(items=[_state(doc) for doc in found])


def list_reservations(command: ListReservations) -> ListReservations.Reply:
    page = handlers.reservations.find(after=(command.after, command.after), limit=LARGEST_PAGE)
    return ListReservations.Reply(order_ids=[doc["_id"] for doc in page])


def _judge_sold(stock: Doc) -> Iterator[Doubt]:
    """Count while the stock stands still: a sale that comes between makes the count worthless."""
    id = stock["_id"]
    for _ in range(_TRIES):
        confirmed = _confirmed(id)
        now = handlers.stock.get(id) or stock
        if confirmed is not None and now["seq"] == stock["seq"]:
            yield from domain.wrong_sold(stock, confirmed)
            return
        stock = now
        clock.sleep(_PAUSE)
    yield Unseen(id, "it is sold faster than its reservations can be counted")


def _confirmed(product: str) -> int | None:
    """Units of a product in confirmed reservations; None while one of them is changing."""
    units = 0
    for doc in handlers.reservations.iterate({"products": {"$all": [product]}}):
        if doc["working"]:
            return None
        if doc["status"] == "confirmed":
            units += sum(line["quantity"] for line in doc["lines"] if line["productId"] == product)
    return units


def _state(doc: Doc) -> ReservationState:
    return ReservationState(
        order_id=doc["_id"],
        status=doc["status"],
        lines=[Line.read(line) for line in doc["lines"]],
    )
