"""What must hold between the stock and the reservations: rules on the documents, then the audits that load them."""

from collections.abc import Iterator

from chassis import clock
from chassis.audit import BATCH, Finding, NotChecked, Suspect
from chassis.store import MAX_PAGE_SIZE, Doc
from services.inventory import domain, repository

OVERDUE_AFTER_S = 60.0
"""How late a job may be before its work counts as undone."""
_MAX_ATTEMPTS, _PAUSE_S = 10, 0.05


def check_stock(stock: Doc) -> Iterator[Finding]:
    """Check that the units of one stock document add up; true of every single read."""
    id = stock["_id"]
    for name in ("available", "reserved", "sold"):
        if stock[name] < 0:
            yield Finding(id, "I3", f"{name} is negative")
    counted = stock["available"] + stock["reserved"] + stock["sold"]
    if counted != stock["received"]:
        yield Finding(id, "I3", f"has {_difference(counted, stock['received'])} units than were received")
    allocated = sum(allocation["quantity"] for allocation in stock["allocations"].values())
    if stock["reserved"] != allocated:
        yield Finding(id, "I4", f"has {_difference(stock['reserved'], allocated)} units reserved than allocated")


def check_allocation(stock: Doc, order: str, reservation: Doc | None) -> Iterator[Finding]:
    """Check that allocated units belong to a live reservation; a job drops the others in time."""
    allocation = stock["allocations"][order]
    what = f"allocates {allocation['quantity']} units to order {order}"
    stale = clock.timestamp_ago(domain.ALLOCATIONS_KEPT_S + OVERDUE_AFTER_S)
    if reservation is None:
        yield Finding(stock["_id"], "I4", f"{what}, which has no reservation")
    elif not domain.is_live(reservation) and allocation["at"] < stale:
        yield Finding(stock["_id"], "I4", f"{what}, whose reservation is {reservation['status']}")


def check_sold(stock: Doc, confirmed: int) -> Iterator[Finding]:
    """Check that the units sold are those of the confirmed reservations, `confirmed` in all."""
    if stock["sold"] != confirmed:
        difference = _difference(stock["sold"], confirmed)
        yield Finding(stock["_id"], "I6", f"has {difference} units sold than its confirmed reservations")


def check_reservation(reservation: Doc, stocks: dict[str, Doc]) -> Iterator[Finding]:
    """Check that a reservation is not left half done, and that the stock allocates each of its lines."""
    id, late = reservation["_id"], clock.timestamp_ago(OVERDUE_AFTER_S)
    if reservation["stagePending"]:
        if reservation["updatedAt"] < late:
            yield Finding(id, "I4", f"is {reservation['status']} since {reservation['updatedAt']}")
    elif reservation["status"] == "reserved":
        if reservation["expiresAt"] < late:
            yield Finding(id, "I4", f"expired at {reservation['expiresAt']} and is still reserved")
        for line in reservation["lines"]:
            allocations = stocks.get(line["productId"], {"allocations": {}})["allocations"]
            if allocations.get(id, {}).get("quantity") != line["quantity"]:
                yield Finding(id, "I4", f"is reserved, but product {line['productId']} does not allocate its units")


def product_ids() -> Iterator[str]:
    """Yield the ids of all products that have stock."""
    return (stock["_id"] for stock in repository.stock.iterate())


def check_products(ids: list[str]) -> Iterator[Suspect]:
    """Check the stock of these products against itself and the reservations."""
    for stock in repository.stock.find({"_id": {"$in": ids}}, limit=BATCH):
        yield from check_stock(stock)
        for order, allocation in stock["allocations"].items():
            if allocation["quantity"]:
                yield from check_allocation(stock, order, repository.reservations.get(order))
        yield from _check_sold_units(stock)


def reservation_ids() -> Iterator[str]:
    """Yield the ids of all reservations."""
    return (reservation["_id"] for reservation in repository.reservations.iterate())


def check_reservations(ids: list[str]) -> Iterator[Suspect]:
    """Check these reservations against the stock of their products."""
    for reservation in repository.reservations.find({"_id": {"$in": ids}}, limit=BATCH):
        products = reservation["products"] if reservation["status"] == "reserved" else []
        found = repository.stock.find({"_id": {"$in": products}}, limit=MAX_PAGE_SIZE) if products else []
        yield from check_reservation(reservation, {stock["_id"]: stock for stock in found})


def _check_sold_units(stock: Doc) -> Iterator[Suspect]:
    """Count the units while the stock does not change: a sale during the count makes it worthless."""
    id = stock["_id"]
    for _ in range(_MAX_ATTEMPTS):
        confirmed = _confirmed_units(id)
        now = repository.stock.get(id) or stock
        if confirmed is not None and now["seq"] == stock["seq"]:
            yield from check_sold(stock, confirmed)
            return
        stock = now
        clock.sleep(_PAUSE_S)
    yield NotChecked(id, "sells faster than its reservations can be counted")


def _confirmed_units(product: str) -> int | None:
    """Count the units of a product in confirmed reservations; None if one of them has a pending stage."""
    units = 0
    for reservation in repository.reservations.iterate({"products": {"$all": [product]}}):
        if reservation["stagePending"]:
            return None
        if reservation["status"] == "confirmed":
            units += sum(line["quantity"] for line in reservation["lines"] if line["productId"] == product)
    return units


def _difference(is_now: int, should_be: int) -> str:
    return f"{abs(is_now - should_be)} {'more' if is_now > should_be else 'fewer'}"
