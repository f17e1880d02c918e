"""Stock arithmetic: how each stage of a reservation updates the stock of one product, and under which guard.

    reserving -> reserved -> confirming -> confirmed -> returning -> returned
        |            |
        +-> releasing <-+ -> released | refused

The stock document records the last stage that each order applied: `allocations.<order> = {quantity, stageVersion, at}`.
A stage applies only over a lower `stageVersion`: a repeated stage has no second effect, and a late one has none.
"""

from dataclasses import dataclass
from typing import Any

from chassis import clock
from chassis.observe import trace
from chassis.store import Doc, Filter
from services.inventory.messages import InsufficientStock, StockChanged

PENDING_STAGES = frozenset({"reserving", "releasing", "confirming", "returning"})
"""Statuses of a reservation that the stock does not show yet."""
ALLOCATIONS_KEPT_S = 120.0
"""How long an allocation of no units stays, to reject a stage that arrives late."""
GuardedUpdate = tuple[dict[str, Any], Filter]
"""An update of the stock document, and the guard under which it applies."""


def stock_changed(stock: Doc) -> StockChanged:
    """Return the event with the present state of a stock."""
    return StockChanged(product_id=stock["_id"], available=0 if stock["closed"] else stock["available"])


def new_stock(product: str, quantity: int, closed: bool = False) -> Doc:
    """Return the stock document of a product; the sum of available, reserved and sold always equals `received`."""
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


@dataclass(frozen=True)
class Cause:
    """Why units were added or removed: the kind of the change, the administrator, and the reason they gave."""

    kind: str
    by: str = ""
    reason: str = ""


def adjustment(dedup_key: str, change: int, available: int, sequence: int, cause: Cause) -> dict[str, Any]:
    """Return the record of an adjustment, by which a repeat is recognized; it becomes a part of the history."""
    return {
        "id": clock.new_id(),
        "dedupKey": dedup_key,
        "at": clock.timestamp(),
        "change": change,
        "available": available,
        "sequence": sequence,
        "kind": cause.kind,
        "by": cause.by,
        "reason": cause.reason,
    }


def hold(order: str, stage_version: int, quantity: int) -> list[GuardedUpdate]:
    """Reserve available units for an order that holds none."""
    enough = {"available": {"$gte": quantity}, "closed": False}
    moved = {"available": -quantity, "reserved": quantity}
    return [
        _allocate(order, stage_version, quantity, {**moved, "allocationCount": 1}, {**enough, **_absent(order)}),
        _allocate(order, stage_version, quantity, moved, {**enough, **_before(order, stage_version, 0)}),
    ]


def release(order: str, stage_version: int, quantity: int) -> list[GuardedUpdate]:
    """Make reserved units available again."""
    moved = {"available": quantity, "reserved": -quantity}
    return [_allocate(order, stage_version, 0, moved, _before(order, stage_version, quantity))]


def sell(order: str, stage_version: int, quantity: int) -> list[GuardedUpdate]:
    """Sell reserved units."""
    moved = {"sold": quantity, "reserved": -quantity}
    return [_allocate(order, stage_version, 0, moved, _before(order, stage_version, quantity))]


def return_sold(order: str, stage_version: int, quantity: int) -> list[GuardedUpdate]:
    """Make sold units available again."""
    moved = {"sold": -quantity, "available": quantity}
    return [
        _allocate(order, stage_version, 0, {**moved, "allocationCount": 1}, _absent(order)),
        _allocate(order, stage_version, 0, moved, _before(order, stage_version, 0)),
    ]


def drop_allocations(stock: Doc, orders: set[str]) -> GuardedUpdate | None:
    """Drop the allocations of finished orders, and make units available that a late `hold` took.

    Returns None if the stock has no allocation of these orders.
    """
    found = {order: stock["allocations"][order] for order in orders & stock["allocations"].keys()}
    if not found:
        return None
    stray = sum(allocation["quantity"] for allocation in found.values())
    update: dict[str, Any] = {
        "$unset": {f"allocations.{order}": True for order in found},
        "$inc": {"allocationCount": -len(found)},
    }
    if stray:
        update["$inc"] |= {"available": stray, "reserved": -stray}
        update = with_stock_changed(update)
    guard = {f"allocations.{order}.stageVersion": allocation["stageVersion"] for order, allocation in found.items()}
    return update, guard


def with_stock_changed(update: dict[str, Any]) -> dict[str, Any]:
    """Return the update extended so that the relay publishes the new state of the stock."""
    publish = {"pending": 1, "updatedAt": clock.timestamp(), "traceparent": trace.traceparent()}
    return {
        **update,
        "$inc": {**update.get("$inc", {}), "seq": 1},
        "$set": {**update.get("$set", {}), **publish},
    }


def insufficient_stock(stock: Doc | None, product: str, quantity: int) -> InsufficientStock:
    """Return the error for units that are not available."""
    available = stock["available"] if stock and not stock["closed"] else 0
    return InsufficientStock(product, available, quantity)


def is_live(reservation: Doc) -> bool:
    """Return whether a reservation may hold units."""
    return bool(reservation["stagePending"]) or reservation["status"] == "reserved"


def _allocate(order: str, stage_version: int, quantity: int, moved: dict[str, int], guard: Filter) -> GuardedUpdate:
    allocation = {"quantity": quantity, "stageVersion": stage_version, "at": clock.timestamp()}
    return with_stock_changed({"$inc": moved, "$set": {f"allocations.{order}": allocation}}), guard


def _absent(order: str) -> Filter:
    return {f"allocations.{order}": {"$exists": False}}


def _before(order: str, stage_version: int, quantity: int) -> Filter:
    return {f"allocations.{order}.stageVersion": {"$lt": stage_version}, f"allocations.{order}.quantity": quantity}
