"""The history of a stock: adjustments, which name their administrator and reason, and the orders that took units.

    stock.adjustments   the latest ones, in the document that they changed: a crash loses none
    movements           {_id, productId, ...}: those older than a day, moved here before the stock drops them
    reservations        one for each order

All have ids that are ordered by time; the history is sorted by them.
"""

from collections.abc import Iterable
from typing import Any

from chassis import clock
from chassis.store import Cursor, Doc, Duplicate
from services.inventory import repository

KEPT_S = 24 * 3600.0
"""How long a stock keeps an adjustment, and so recognizes a repeated one."""
_TAKEN = frozenset({"reserving", "reserved", "confirming", "confirmed"})
"""Statuses of a reservation whose units are not available."""


def keep_recent(product: str, adjustments: Iterable[Doc]) -> list[Doc]:
    """Return the adjustments that the stock keeps, once the others are stored as movements."""
    kept, since = [], clock.timestamp_ago(KEPT_S)
    for each in adjustments:
        if each["at"] > since:
            kept.append(each)
        elif "id" in each:  # release 0.2.0 did not say what changed
            movement = {name: value for name, value in each.items() if name not in ("id", "dedupKey")}
            try:
                repository.movements.insert({"_id": each["id"], "productId": product, **movement})
            except Duplicate:  # an earlier attempt came this far
                pass
    return kept


def page(stock: Doc, limit: int, after: list[Any] | None) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Return up to `limit` entries behind `after`, newest first, and what continues behind them."""
    product = stock["_id"]
    before: Cursor | None = (after[0], after[0]) if after else None
    moved = repository.movements.find({"productId": product}, sort="-_id", limit=limit + 1, after=before)
    reserved = repository.reservations.find(
        {"products": {"$all": [product]}}, sort="-_id", limit=limit + 1, after=before
    )
    entries = {each["id"]: _adjusted(each, each["id"]) for each in stock["adjustments"] if "id" in each}
    if before:
        entries = {id: entry for id, entry in entries.items() if id < before[1]}
    entries |= {doc["_id"]: _adjusted(doc, doc["_id"]) for doc in moved}
    entries |= {doc["_id"]: _ordered(doc, product) for doc in reserved}
    newest = [entries[id] for id in sorted(entries, reverse=True)]
    return newest[:limit], [newest[limit - 1]["id"]] if len(newest) > limit else None


def _adjusted(doc: Doc, id: str) -> dict[str, Any]:
    return {"id": id} | {name: doc[name] for name in ("at", "kind", "change", "available", "by", "reason")}


def _ordered(reservation: Doc, product: str) -> dict[str, Any]:
    units = sum(line["quantity"] for line in reservation["lines"] if line["productId"] == product)
    return {
        "id": reservation["_id"],
        "at": reservation["createdAt"],
        "kind": "order",
        "change": -units if reservation["status"] in _TAKEN else 0,
        "available": None,
        "by": "",
        "reason": reservation["status"],
    }
