"""What one account may order and cancel within a time, in one document for each account that every change guards.

    {_id: user, version, until: "when all of it is forgotten",
     orders: {"<order>": {at, units: {"<product>": 3}, opened: true}}, cancels: {"<order>": {at, units}}}

The units of a canceled order count on, and an account that keeps canceling orders of a product cannot order it for a
while: an account must not keep units from others by orders and cancels. A rejected order is taken out again. So is one
that was counted and never opened, because the process crashed in between: where the quota refuses, orders older than
a minute are looked up, each of them once; `opened` notes that it was found.

An account without a confirmed address has a smaller quota. `is_verified` is called only where it decides.
"""

from collections.abc import Callable, Mapping
from typing import Any

from chassis import clock
from chassis.errors import DomainError, ErrorCategory
from chassis.store import Collection, Doc, Duplicate, Index, Update, merge_updates
from services.orders.settings import settings

DAY_S, HOUR_S = 24 * 3600.0, 3600.0
MAX_CANCELS, MAX_UNVERIFIED_CANCELS = 10, 3
"""Cancels of an account in an hour."""
MAX_CANCELS_OF_PRODUCT = 3
"""Canceled orders of one product in 24 hours, after which the account cannot order it."""
MAX_LINES = 2_000
"""Lines of the orders of 24 hours, which bounds the document."""
MAX_OPENING_S = 60.0
"""Time after which an order that was counted has been opened, or never will be."""
UNVERIFIED_SHARE = 10
"""An account without a confirmed address may order one unit where others may order this many."""

quotas = Collection("quotas", Index("until"))

Entries = Mapping[str, Mapping[str, Any]]
IsVerified = Callable[[], bool]
FindOpened = Callable[[list[str]], set[str]]
"""Returns those of some orders that were opened."""


class QuotaExceeded(DomainError, category=ErrorCategory.RATE_LIMITED):
    """The account has reached its limit of units of a product; the limit is lower without a confirmed address."""

    def __init__(self, product_id: str, wait_s: int, unverified_limit: int = 0) -> None:
        detail = "You have ordered or canceled as much of this product as one account may in 24 hours."
        if unverified_limit:
            detail = f"Confirm your e-mail address to order more than {unverified_limit} of this product in 24 hours."
        super().__init__(detail, productId=product_id, retryAfter=wait_s)


class TooManyCancels(DomainError, category=ErrorCategory.RATE_LIMITED):
    """The account has reached the limit of cancellations in an hour."""

    def __init__(self, wait_s: int) -> None:
        super().__init__("You have canceled too many orders. Try again later.", retryAfter=wait_s)


def count_order(
    user_id: str, order_id: str, units: Mapping[str, int], is_verified: IsVerified, find_opened: FindOpened
) -> None:
    """Count an order, once for its id, before it is opened.

    Raises QuotaExceeded, StoreUnavailable, and what `is_verified` and `find_opened` raise.
    """

    def add(orders: Doc, cancels: Doc) -> None:
        if order_id not in orders:
            _require_quota(orders, cancels, units, is_verified)
            orders[order_id] = {"at": clock.timestamp(), "units": dict(units)}

    try:
        _change(user_id, add)
    except QuotaExceeded:
        if not _forget_unopened(user_id, find_opened):
            raise
        _change(user_id, add)


def _forget_unopened(user_id: str, find_opened: FindOpened) -> bool:
    """Take out the orders that were never opened; return whether there were any."""
    found = quotas.get(user_id) or {"orders": {}}
    oldest = clock.timestamp_ago(MAX_OPENING_S)
    due = [id for id, each in found["orders"].items() if each["at"] < oldest and not each.get("opened")]
    if not due:
        return False
    opened = find_opened(due)

    def settle(orders: Doc, cancels: Doc) -> None:
        for id in orders.keys() & due:
            if id in opened:
                orders[id]["opened"] = True
            else:
                del orders[id]

    _change(user_id, settle)
    return len(opened) < len(due)


def forget_order(user_id: str, order_id: str) -> None:
    """Take out an order that was rejected; may be repeated. Raises StoreUnavailable."""
    if order_id in (quotas.get(user_id) or {}).get("orders", {}):
        _change(user_id, lambda orders, cancels: orders.pop(order_id, None))


def count_cancel(user_id: str, order_id: str, units: Mapping[str, int], is_verified: IsVerified) -> None:
    """Count a cancel, once for each order. Raises TooManyCancels, StoreUnavailable, and what `is_verified` raises."""

    def add(orders: Doc, cancels: Doc) -> None:
        if order_id in cancels:
            return
        recent = _since(cancels, HOUR_S)
        if len(recent) >= MAX_CANCELS or (len(recent) >= MAX_UNVERIFIED_CANCELS and not is_verified()):
            raise TooManyCancels(_wait_s(recent, HOUR_S))
        cancels[order_id] = {"at": clock.timestamp(), "units": dict(units)}

    _change(user_id, add)


def delete_ended() -> None:
    """Delete the documents of accounts that have ordered nothing for a while."""
    quotas.delete_all({"until": {"$lt": clock.timestamp()}}, sort="until")


def _require_quota(orders: Entries, cancels: Entries, units: Mapping[str, int], is_verified: IsVerified) -> None:
    limit = settings().order_units
    unverified_limit = max(1, limit // UNVERIFIED_SHARE)
    if len(units) + sum(len(each["units"]) for each in orders.values()) > MAX_LINES:
        raise QuotaExceeded(next(iter(units)), _wait_s(orders, DAY_S))
    for product, wanted in units.items():
        before = {id: each for id, each in orders.items() if product in each["units"]}
        ordered = wanted + sum(each["units"][product] for each in before.values())
        if ordered > limit:
            raise QuotaExceeded(product, _wait_s(before, DAY_S))
        if ordered > unverified_limit and not is_verified():
            raise QuotaExceeded(product, _wait_s(before, DAY_S), unverified_limit)
        canceled = {id: each for id, each in cancels.items() if product in each["units"]}
        if len(canceled) >= MAX_CANCELS_OF_PRODUCT:
            raise QuotaExceeded(product, _wait_s(canceled, DAY_S))


def _change(user_id: str, change: Callable[[Doc, Doc], object]) -> None:
    """Apply a change to the entries of 24 hours, under the guard of the version."""
    while settings().rate_limits == "on":
        found = quotas.get(user_id)
        orders, cancels = ((_since(found[name], DAY_S) if found else {}) for name in ("orders", "cancels"))
        change(orders, cancels)
        until = clock.timestamp_in(DAY_S)
        if found is None:
            try:
                quotas.insert({"_id": user_id, "version": 1, "orders": orders, "cancels": cancels, "until": until})
                return
            except Duplicate:
                continue
        update = merge_updates(
            {"$set": {"until": until}, "$inc": {"version": 1}},
            _difference("orders", found["orders"], orders),
            _difference("cancels", found["cancels"], cancels),
        )
        if quotas.update(user_id, update, when={"version": found["version"]}):
            return


def _difference(name: str, old: Entries, new: Entries) -> Update:
    """Return the update that makes the old entries of a field the new ones: a document may have 2,000 lines."""
    changed = {f"{name}.{id}": each for id, each in new.items() if old.get(id) != each}
    ended = {f"{name}.{id}": True for id in old if id not in new}
    return {operator: fields for operator, fields in (("$set", changed), ("$unset", ended)) if fields}


def _since(entries: Entries, period_s: float) -> Doc:
    oldest = clock.timestamp_ago(period_s)
    return {id: dict(each) for id, each in entries.items() if each["at"] > oldest}


def _wait_s(entries: Entries, period_s: float) -> int:
    """Return the seconds until the oldest of these entries no longer counts."""
    oldest = min((each["at"] for each in entries.values()), default=clock.timestamp())
    return max(1, round(period_s - clock.seconds_since(oldest)))
