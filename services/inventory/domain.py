"""Stock arithmetic: what each stage of a reservation does to the stock of one product, and under which guard.

    reserving -> reserved -> confirming -> confirmed -> returning -> returned
        |            |
        +-> releasing <-+ -> released | refused

`allocations.<order> = {quantity, stageVersion, at}` in the stock document is the mark of the last stage that came there: a stage
applies only where the mark is of an earlier stage_version. So a stage may be repeated, and one that wakes up late does nothing.
"""

from typing import Any

from chassis import clock
from chassis.errors import DomainError
from chassis.observe import trace
from chassis.store import Doc
from services.inventory.messages import StockChanged


def stock_changed(doc: Doc) -> StockChanged:
    """The event that tells the present state of a stock."""
    return StockChanged(product_id=doc["_id"], available=0 if doc["closed"] else doc["available"])


PENDING_STAGES = frozenset({"reserving", "releasing", "confirming", "returning"})
ALLOCATIONS_KEPT_S = 120.0
"""Seconds for which a mark that holds nothing stays, to refuse what wakes up late."""
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
        "allocations": {},
        "allocationCount": 0,
        "adjustments": [],
        "updatedAt": clock.timestamp(),
        "traceparent": trace.traceparent(),
    }


def hold(order: str, stage_version: int, quantity: int) -> list[Guarded]:
    """Take units for an order: they must be there, and none be held yet."""
    enough = {"available": {"$gte": quantity}, "closed": False}
    moved = {"available": -quantity, "reserved": quantity}
    return [
        _marked(order, stage_version, quantity, {**moved, "allocationCount": 1}, {**enough, **_absent(order)}),
        _marked(order, stage_version, quantity, moved, {**enough, **_before(order, stage_version, 0)}),
    ]


def release(order: str, stage_version: int, quantity: int) -> list[Guarded]:
    """Give units that are held back."""
    moved = {"available": quantity, "reserved": -quantity}
    return [_marked(order, stage_version, 0, moved, _before(order, stage_version, quantity))]


def sell(order: str, stage_version: int, quantity: int) -> list[Guarded]:
    """Turn units that are held into sold ones."""
    moved = {"sold": quantity, "reserved": -quantity}
    return [_marked(order, stage_version, 0, moved, _before(order, stage_version, quantity))]


def return_sold(order: str, stage_version: int, quantity: int) -> list[Guarded]:
    """Turn sold units into available ones."""
    moved = {"sold": -quantity, "available": quantity}
    return [
        _marked(order, stage_version, 0, {**moved, "allocationCount": 1}, _absent(order)),
        _marked(order, stage_version, 0, moved, _before(order, stage_version, 0)),
    ]


def drop_allocations(stock: Doc, over: set[str]) -> Guarded | None:
    """Drop the marks of these orders, which are over, with what a late `hold` may have left; None if there are none."""
    found = {order: stock["allocations"][order] for order in over & stock["allocations"].keys()}
    if not found:
        return None
    stray = sum(mark["quantity"] for mark in found.values())
    change: dict[str, Any] = {"$unset": {f"allocations.{order}": True for order in found}, "$inc": {"allocationCount": -len(found)}}
    if stray:
        change["$inc"] |= {"available": stray, "reserved": -stray}
        change = with_stock_changed(change)
    return change, {f"allocations.{order}.stageVersion": mark["stageVersion"] for order, mark in found.items()}


def with_stock_changed(change: dict[str, Any]) -> dict[str, Any]:
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


def is_live(reservation: Doc) -> bool:
    """Whether it may hold units."""
    return bool(reservation["stagePending"]) or reservation["status"] == "reserved"


def _marked(order: str, stage_version: int, quantity: int, moved: dict[str, int], when: dict[str, Any]) -> Guarded:
    mark = {"quantity": quantity, "stageVersion": stage_version, "at": clock.timestamp()}
    return with_stock_changed({"$inc": moved, "$set": {f"allocations.{order}": mark}}), when


def _absent(order: str) -> dict[str, Any]:
    return {f"allocations.{order}": {"$exists": False}}


def _before(order: str, stage_version: int, quantity: int) -> dict[str, Any]:
    return {f"allocations.{order}.stageVersion": {"$lt": stage_version}, f"allocations.{order}.quantity": quantity}
