"""Handlers of the events of other services: what is ordered leaves the cart, and a deleted user's cart is erased.

The proof of an order is in its user's cart: `orders.<order>` goes from `marked`, with the lines of the order, to
`subtracted` or `dropped`, in the same write as the lines of the cart, and never back. An inbox would not serve: a cart
hears of many orders.
"""

from typing import Literal

from chassis import clock
from chassis.events.envelope import Meta
from chassis.settings import settings
from chassis.store import Doc, Update, merge_updates
from services.carts import domain, repository
from services.carts.repository import DAY_S, USER_S, Access, carts
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderPlaced, OrderRejected
from services.users.messages import UserDeleted


def on_order_placed(event: OrderPlaced, meta: Meta) -> None:
    """Remember which lines of the cart are ordered."""
    cart = carts.get(event.user_id)
    if event.cart_id != event.user_id or cart is None:
        return
    lines = {item.product_id: item.quantity for item in event.items}
    mark = {"state": "marked", "lines": lines, "at": clock.timestamp()}
    ended: Update = {"$unset": dict.fromkeys(paths, True)} if (paths := _ended_long_ago(cart)) else {}
    update = merge_updates({"$set": {f"orders.{event.order_id}": mark}}, ended)
    carts.update(event.user_id, update, when={f"orders.{event.order_id}": {"$exists": False}, "erased": False})


def on_order_confirmed(event: OrderConfirmed, meta: Meta) -> None:
    """Subtract exactly what was ordered: what was added meanwhile stays."""
    _settle(event.user_id, event.order_id, "subtracted")


def on_order_not_confirmed(event: OrderRejected | OrderCancelled, meta: Meta) -> None:
    """Drop the mark of an order that was not confirmed."""
    _settle(event.user_id, event.order_id, "dropped")


def on_user_deleted(event: UserDeleted, meta: Meta) -> None:
    """Erase the cart of a user, and the carts that were merged into it; a tombstone stays for events that come late."""
    user = event.user_id
    repository.insert(repository.new_cart(user, user_id=user))
    erased = {"erased": True, "items": {}, "lines": 0, "orders": {}, "merged": {}}
    expires = {"expiresAt": clock.timestamp_in(USER_S)}
    carts.update(user, {"$set": {**erased, **expires}, "$unset": {"abandonAt": True}, "$inc": {"version": 1}})
    carts.delete_all({"mergedInto": user})


def _settle(user_id: str, order_id: str, state: Literal["subtracted", "dropped"]) -> None:
    while True:
        cart = carts.get(user_id)
        mark = cart["orders"].get(order_id) if cart else None
        if cart is None or mark is None or mark["state"] != "marked":
            return
        update: Update = {"$set": {f"orders.{order_id}": {"state": state, "at": clock.timestamp()}}}
        if state == "subtracted":
            update = merge_updates(update, _subtract(cart, mark["lines"]))
        guard = {"version": cart["version"], f"orders.{order_id}.state": "marked"}
        if carts.update(user_id, update, when=guard):
            return


def _subtract(cart: Doc, ordered: dict[str, int]) -> Update:
    left = domain.left_after_order(cart["items"], ordered)
    if not left:
        return {}
    ended = [product for product, quantity in left.items() if not quantity]
    parts: list[Update] = [
        {"$set": {f"items.{product}.quantity": quantity for product, quantity in left.items() if quantity}},
        {"$unset": {f"items.{product}": True for product in ended}} if ended else {},
        {"$inc": {"lines": -len(ended)}},
        repository.items_changed(Access.of_user(cart["_id"])),
    ]
    return merge_updates(*parts)


def _ended_long_ago(cart: Doc) -> list[str]:
    """Return the paths of the orders whose events the bus no longer has."""
    oldest = clock.timestamp_ago(settings().retention + DAY_S)
    return [f"orders.{id}" for id, mark in cart["orders"].items() if mark["state"] != "marked" and mark["at"] < oldest]
