"""What must hold between the stock and the reservations."""

from collections.abc import Iterator

from chassis import clock
from chassis.audit import BATCH, Doubt, Finding, Unseen
from chassis.store import LARGEST_PAGE, Doc
from services.inventory import domain, repository

_MAX_ATTEMPTS, _PAUSE_S = 10, 0.05
OVERDUE_AFTER_S = 60.0
"""Seconds in which a sweep has done what was to be done."""


def check_stock(stock: Doc) -> Iterator[Finding]:
    """What does not agree within one stock document: true on every single read of it."""
    id = stock["_id"]
    for name in ("available", "reserved", "sold"):
        if stock[name] < 0:
            yield Finding(id, "I3", f"{name} is below zero")
    counted = stock["available"] + stock["reserved"] + stock["sold"]
    if counted != stock["received"]:
        yield Finding(id, "I3", f"has {_difference(counted, stock['received'])} than was received")
    held = sum(mark["quantity"] for mark in stock["allocations"].values())
    if stock["reserved"] != held:
        yield Finding(id, "I4", f"has {_difference(stock['reserved'], held)} reserved than its orders hold")


def product_ids() -> Iterator[str]:
    return (doc["_id"] for doc in repository.stock.iterate())


def check_allocation(stock: Doc, order: str, reservation: Doc | None) -> Iterator[Finding]:
    """Units that an order holds without a reservation; a late hold of one that is over is swept away in time."""
    mark = stock["allocations"][order]
    says = f"holds {mark['quantity']} for the order {order}"
    if reservation is None:
        yield Finding(stock["_id"], "I4", f"{says}, which has no reservation")
    elif not domain.is_live(reservation) and mark["at"] < clock.timestamp_ago(domain.ALLOCATIONS_KEPT_S + OVERDUE_AFTER_S):
        yield Finding(stock["_id"], "I4", f"{says}, whose reservation is {reservation['status']}")


def check_products(ids: list[str]) -> Iterator[Doubt]:
    for doc in repository.stock.find({"_id": {"$in": ids}}, limit=BATCH):
        yield from check_stock(doc)
        holders = [order for order, mark in doc["allocations"].items() if mark["quantity"]]
        for order in holders:
            yield from check_allocation(doc, order, repository.reservations.get(order))
        yield from _check_sold_units(doc)


def check_sold(stock: Doc, confirmed: int) -> Iterator[Finding]:
    """What is sold is what the confirmed reservations have, `confirmed` units."""
    if stock["sold"] != confirmed:
        detail = f"has {_difference(stock['sold'], confirmed)} sold than confirmed reservations say"
        yield Finding(stock["_id"], "I6", detail)


def reservation_ids() -> Iterator[str]:
    return (doc["_id"] for doc in repository.reservations.iterate())


def check_reservation(reservation: Doc, stocks: dict[str, Doc]) -> Iterator[Finding]:
    """What was left undone, and lines that nothing is held for."""
    id, late = reservation["_id"], clock.timestamp_ago(OVERDUE_AFTER_S)
    if reservation["stagePending"]:
        if reservation["updatedAt"] < late:
            yield Finding(id, "I4", f"was left {reservation['status']} at {reservation['updatedAt']}")
    elif reservation["status"] == "reserved":
        if reservation["expiresAt"] < late:
            yield Finding(id, "I4", f"expired at {reservation['expiresAt']}, and is still held")
        for line in reservation["lines"]:
            holds = stocks.get(line["productId"], {"allocations": {}})["allocations"]
            if allocations.get(id, {}).get("quantity") != line["quantity"]:
                yield Finding(id, "I4", f"is reserved, but the product {line['productId']} is not held for it")


def check_reservations(ids: list[str]) -> Iterator[Doubt]:
    for doc in repository.reservations.find({"_id": {"$in": ids}}, limit=BATCH):
        held = doc["products"] if doc["status"] == "reserved" else []
        found = repository.stock.find({"_id": {"$in": held}}, limit=LARGEST_PAGE) if held else []
        yield from check_reservation(doc, {stock["_id"]: stock for stock in found})


def _difference(is_now: int, should_be: int) -> str:
    return f"{abs(is_now - should_be)} {'more' if is_now > should_be else 'fewer'}"


def _check_sold_units(stock: Doc) -> Iterator[Doubt]:
    """Count while the stock stands still: a sale that comes between makes the count worthless."""
    id = stock["_id"]
    for _ in range(_MAX_ATTEMPTS):
        confirmed = _confirmed_units(id)
        now = repository.stock.get(id) or stock
        if confirmed is not None and now["seq"] == stock["seq"]:
            yield from check_sold(stock, confirmed)
            return
        stock = now
        clock.sleep(_PAUSE_S)
    yield Unseen(id, "it is sold faster than its reservations can be counted")


def _confirmed_units(product: str) -> int | None:
    """Units of a product in confirmed reservations; None while one of them is changing."""
    units = 0
    for doc in repository.reservations.iterate({"products": {"$all": [product]}}):
        if doc["stagePending"]:
            return None
        if doc["status"] == "confirmed":
            units += sum(line["quantity"] for line in doc["lines"] if line["productId"] == product)
    return units
