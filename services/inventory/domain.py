"""Stock arithmetic: what each stage of a reservation does to the stock of one product, and under which guard.

    reserving -> reserved -> confirming -> confirmed -> returning -> returned
        |            |
        +-> releasing <-+ -> released | refused

`holds.<order> = {quantity, turn, at}` in the stock document is the mark of the last stage that came there: a stage
applies only where the mark is of an earlier turn. So a stage may be repeated, and one that wakes up late does nothing.
"""

from collections.abc import Iterator
from typing import Any

from chassis import clock
from chassis.audit import Finding
from chassis.errors import DomainError
from chassis.observe import trace
from chassis.store import Doc

WORKING = frozenset({"reserving", "releasing", "confirming", "returning"})
MARK_KEPT = 120.0
"""Seconds for which a mark that holds nothing stays, to refuse what wakes up late."""

OVERDUE = 60.0
"""Seconds in which a sweep has done what was to be done."""

Guarded = tuple[dict[str, Any], dict[str, Any]]
"""A change of the stock document, and when it applies."""


def new_stock(product: str, quantity: int, closed: bool = False) -> Doc:
    """The stock document of a new product; the sum of available, reserved and sold is always `received`."""
    return {
        "_id": product,
        "available": quantity,
        "reserved": 0,
        "sold": 0,
        "received": quantity,
        "closed": closed,
        "holds": {},
        "held": 0,
        "adjusted": [],
        "updatedAt": clock.timestamp(),
        "traceparent": trace.traceparent(),
    }


def hold(order: str, turn: int, quantity: int) -> list[Guarded]:
    """Take units for an order: they must be there, and none be held yet."""
    enough = {"available": {"$gte": quantity}, "closed": False}
    moved = {"available": -quantity, "reserved": quantity}
    return [
        _marked(order, turn, quantity, {**moved, "held": 1}, {**enough, **_absent(order)}),
        _marked(order, turn, quantity, moved, {**enough, **_before(order, turn, 0)}),
    ]


def unhold(order: str, turn: int, quantity: int) -> list[Guarded]:
    """Give units that are held back."""
    moved = {"available": quantity, "reserved": -quantity}
    return [_marked(order, turn, 0, moved, _before(order, turn, quantity))]


def sell(order: str, turn: int, quantity: int) -> list[Guarded]:
    """Turn units that are held into sold ones."""
    moved = {"sold": quantity, "reserved": -quantity}
    return [_marked(order, turn, 0, moved, _before(order, turn, quantity))]


def give_back(order: str, turn: int, quantity: int) -> list[Guarded]:
    """Turn sold units into available ones."""
    moved = {"sold": -quantity, "available": quantity}
    return [
        _marked(order, turn, 0, {**moved, "held": 1}, _absent(order)),
        _marked(order, turn, 0, moved, _before(order, turn, 0)),
    ]


def tidied(stock: Doc, over: set[str]) -> Guarded | None:
    """Drop the marks of these orders, which are over, with what a late `hold` may have left; None if there are none."""
    found = {order: stock["holds"][order] for order in over & stock["holds"].keys()}
    if not found:
        return None
    stray = sum(mark["quantity"] for mark in found.values())
    change: dict[str, Any] = {"$unset": {f"holds.{order}": True for order in found}, "$inc": {"held": -len(found)}}
    if stray:
        change["$inc"] |= {"available": stray, "reserved": -stray}
        change = told(change)
    return change, {f"holds.{order}.turn": mark["turn"] for order, mark in found.items()}


def told(change: dict[str, Any]) -> dict[str, Any]:
    """The change with what makes the relay tell the new state."""
    news = {"pending": 1, "updatedAt": clock.timestamp(), "traceparent": trace.traceparent()}
    return {
        **change,
        "$inc": {**change.get("$inc", {}), "seq": 1},
        "$set": {**change.get("$set", {}), **news},
    }


def why_not(stock: Doc | None, product: str, quantity: int) -> DomainError:
    """Why units could not be held."""
    available = stock["available"] if stock and not stock["closed"] else 0
    detail = f"Of product {product} there are {available} left, not {quantity}."
    return DomainError("insufficient_stock", "Insufficient stock", detail, productId=product, available=available)


def wrong_stock(stock: Doc) -> Iterator[Finding]:
    """What does not agree within one stock document: true on every single read of it."""
    id = stock["_id"]
    for name in ("available", "reserved", "sold"):
        if stock[name] < 0:
            yield Finding(id, "I3", f"{name} is below zero")
    counted = stock["available"] + stock["reserved"] + stock["sold"]
    if counted != stock["received"]:
        yield Finding(id, "I3", f"has {_difference(counted, stock['received'])} than was received")
    held = sum(mark["quantity"] for mark in stock["holds"].values())
    if stock["reserved"] != held:
        yield Finding(id, "I4", f"has {_difference(stock['reserved'], held)} reserved than its orders hold")


def wrong_hold(stock: Doc, order: str, reservation: Doc | None) -> Iterator[Finding]:
    """Units that an order holds without a reservation; a late hold of one that is over is swept away in time."""
    mark = stock["holds"][order]
    says = f"holds {mark['quantity']} for the order {order}"
    if reservation is None:
        yield Finding(stock["_id"], "I4", f"{says}, which has no reservation")
    elif not is_live(reservation) and mark["at"] < clock.timestamp_ago(MARK_KEPT + OVERDUE):
        yield Finding(stock["_id"], "I4", f"{says}, whose reservation is {reservation['status']}")


def wrong_sold(stock: Doc, confirmed: int) -> Iterator[Finding]:
    """What is sold is what the confirmed reservations have, `confirmed` units."""
    if stock["sold"] != confirmed:
        detail = f"has {_difference(stock['sold'], confirmed)} sold than confirmed reservations say"
        yield Finding(stock["_id"], "I6", detail)


def wrong_reservation(reservation: Doc, stocks: dict[str, Doc]) -> Iterator[Finding]:
    """What was left undone, and lines that nothing is held for."""
    id, late = reservation["_id"], clock.timestamp_ago(OVERDUE)
    if reservation["working"]:
        if reservation["updatedAt"] < late:
            yield Finding(id, "I4", f"was left {reservation['status']} at {reservation['updatedAt']}")
    elif reservation["status"] == "reserved":
        if reservation["expiresAt"] < late:
            yield Finding(id, "I4", f"expired at {reservation['expiresAt']}, and is still held")
        for line in reservation["lines"]:
            holds = stocks.get(line["productId"], {"holds": {}})["holds"]
            if holds.get(id, {}).get("quantity") != line["quantity"]:
                yield Finding(id, "I4", f"is reserved, but the product {line['productId']} is not held for it")


def is_live(reservation: Doc) -> bool:
    """Whether it may hold units."""
    return bool(reservation["working"]) or reservation["status"] == "reserved"


def _difference(is_now: int, should_be: int) -> str:
    return f"{abs(is_now - should_be)} {'more' if is_now > should_be else 'fewer'}"


def _marked(order: str, turn: int, quantity: int, moved: dict[str, int], when: dict[str, Any]) -> Guarded:
    mark = {"quantity": quantity, "turn": turn, "at": clock.timestamp()}
    return told({"$inc": moved, "$set": {f"holds.{order}": mark}}), when


def _absent(order: str) -> dict[str, Any]:
    return {f"holds.{order}": {"$exists": False}}


def _before(order: str, turn: int, quantity: int) -> dict[str, Any]:
    return {f"holds.{order}.turn": {"$lt": turn}, f"holds.{order}.quantity": quantity}
