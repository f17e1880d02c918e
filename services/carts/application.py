"""Use cases of a cart: create, read, change, merge."""

from collections.abc import Collection as Ids
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chassis import calls, clock
from chassis.errors import IfMatch, InvalidInput, NotFound, TransientError, require_version
from chassis.events import outbox
from chassis.store import Doc, Filter, Update, merge_updates
from services.carts import domain, repository
from services.carts.domain import PricedLine, Prices
from services.carts.messages import CartChanged, CartLine, CartMerged, GetCart
from services.carts.repository import DAY_S, GUEST_S, Access, carts, items_changed
from services.products.messages import PriceItems


@dataclass(frozen=True)
class PricedCart:
    """A cart, and its lines as a reader sees them."""

    doc: Doc
    lines: list[PricedLine]


def create_guest_cart() -> tuple[PricedCart, str]:
    """Create the cart of a guest; return it, and the token that alone gives access to it."""
    token = clock.new_secret()
    cart = repository.new_cart(clock.new_id(), token=token)
    carts.insert(cart)
    return PricedCart(cart, []), token


def read(access: Access) -> PricedCart:
    """Return a cart at present prices; at the kept ones while `products` is away. Raises NotFound."""
    return _priced(repository.load(access))


def add(access: Access, product_id: str, quantity: int, dedup_key: str) -> PricedCart:
    """Add units of a product; a repeat with the same `dedup_key` adds none.

    Raises NotFound; InvalidInput (no such product, or a limit); TransientError if a new product cannot be looked up.
    """
    line = f"items.{product_id}"
    more: Update = {"$inc": {f"{line}.quantity": quantity}, "$set": {f"{line}.addKey": dedup_key}}
    has_room: Filter = {
        f"{line}.quantity": {"$lte": domain.MAX_UNITS_PER_LINE - quantity},
        f"{line}.addKey": {"$ne": dedup_key},
    }
    while True:
        update = merge_updates(more, items_changed(access))
        if cart := carts.update(access.cart_id, update, when={**access.guard, **has_room}):
            return _priced(cart)
        cart = repository.load(access)
        found = cart["items"].get(product_id)
        if found and found["addKey"] == dedup_key:
            return _priced(cart)
        domain.require_room(cart["items"], product_id, quantity)
        if not found and (added := _add_line(access, cart, product_id, quantity, dedup_key)):
            return added


def set_quantity(
    access: Access, product_id: str, quantity: int, if_match: IfMatch = None, dedup_key: str = ""
) -> PricedCart:
    """Set the units of a product; 0 takes it out. Raises as `add`, and VersionConflict."""
    line = f"items.{product_id}"
    change: Update = {"$set": {f"{line}.quantity": quantity}} if quantity else _removal(product_id)
    guard = {**access.guard, **_in_version(if_match)}
    while True:
        is_there = {**guard, f"{line}.quantity": {"$gt": 0}}
        if cart := carts.update(access.cart_id, merge_updates(change, items_changed(access)), when=is_there):
            return _priced(cart)
        cart = repository.load(access)
        require_version(if_match, cart["version"])
        if product_id in cart["items"]:
            continue
        if not quantity:
            return _priced(cart)
        domain.require_room(cart["items"], product_id, quantity)
        if added := _add_line(access, cart, product_id, quantity, dedup_key, guard):
            return added


def clear(access: Access, if_match: IfMatch = None) -> None:
    """Take out all lines. Raises NotFound, VersionConflict."""
    emptied: Update = {"$set": {"items": {}, "lines": 0}}
    while True:
        cart = repository.load(access)
        require_version(if_match, cart["version"])
        if not cart["items"]:
            return
        guard = {**access.guard, "version": cart["version"]}
        if carts.update(access.cart_id, merge_updates(emptied, items_changed(access)), when=guard):
            return


def merge(user_id: str, cart_id: str, token: str) -> PricedCart:
    """Merge the cart of a guest into that of a user, once: a repeat changes nothing.

    First freezes the guest's cart, so that nothing is added to it that would be lost. Raises NotFound, TooManyMerges.
    """
    access = Access.of_user(user_id)
    if cart_id in (own := repository.load(access))["merged"]:
        _require_merged(user_id, cart_id, token)
        return _priced(own)
    if len(_remembered(own["merged"])) >= domain.MAX_MERGES:
        raise domain.TooManyMerges
    guest = _freeze(user_id, cart_id, token)
    repository.ensure_stored(access)
    while cart_id not in (own := repository.load(access))["merged"]:
        update, guard = _merge_update(own, guest)
        carts.update(user_id, update, when=guard)
    return _priced(own)


def get_cart(command: GetCart) -> GetCart.Reply:
    """Return the lines of a user's cart, in the order in which they were added. Raises NotFound, CartChanged."""
    if command.cart_id != command.user_id:  # the cart of a user has the id of the user
        raise NotFound("cart")
    cart = repository.load(Access.of_user(command.user_id))
    if cart["version"] != command.version:
        raise CartChanged
    lines = domain.in_order(cart["items"])
    return GetCart.Reply(lines=[CartLine(product_id=id, quantity=line["quantity"]) for id, line in lines])


def _add_line(
    access: Access, cart: Doc, product_id: str, quantity: int, dedup_key: str, guard: Filter | None = None
) -> PricedCart | None:
    """Add a line that a cart does not have, and return the cart; None if the cart changed meanwhile."""
    prices = _find_prices([*cart["items"], product_id])
    product = prices[product_id]
    if product is None:
        raise InvalidInput(("productId", f"there is no product {product_id}"))
    repository.ensure_stored(access)
    new_line = {
        "quantity": quantity,
        "name": product.name,
        "seenPrice": product.price,
        "currency": product.currency,
        "addedAt": clock.timestamp(),
        "addKey": dedup_key,
    }
    change: Update = {"$set": {f"items.{product_id}": new_line}, "$inc": {"lines": 1}}
    has_room = {f"items.{product_id}": {"$exists": False}, "lines": {"$lt": domain.MAX_LINES}}
    update = merge_updates(change, items_changed(access))
    changed = carts.update(access.cart_id, update, when={**(guard or access.guard), **has_room})
    return _priced(changed, prices) if changed else None


def _removal(product_id: str) -> Update:
    return {"$unset": {f"items.{product_id}": True}, "$inc": {"lines": -1}}


def _in_version(if_match: IfMatch) -> Filter:
    return {} if if_match is None else {"version": {"$in": sorted(if_match)}}


def _freeze(user_id: str, cart_id: str, token: str) -> Doc:
    """Make the cart of a guest a tombstone that names the user, and return it. Raises NotFound."""
    frozen: Update = {"$set": {"mergedInto": user_id, "expiresAt": clock.timestamp_in(GUEST_S)}}
    guest = carts.update(cart_id, frozen, when=Access.of_guest(cart_id, token).guard)
    return guest or _require_merged(user_id, cart_id, token)


def _require_merged(user_id: str, cart_id: str, token: str) -> Doc:
    """Return the cart of a guest that was frozen for this user. Raises NotFound."""
    guest = carts.get(cart_id)
    is_tombstone = guest is not None and guest["mergedInto"] == user_id and guest["expiresAt"] > clock.timestamp()
    if guest is None or not is_tombstone or guest["tokenHash"] != repository.hash_token(token):
        raise NotFound("cart")
    return guest


def _merge_update(own: Doc, guest: Doc) -> tuple[Update, Filter]:
    """Return the update of a user's cart that merges a frozen cart, with its event, and its guard."""
    changed = domain.merged(own["items"], guest["items"])
    lines = {product: line["quantity"] for product, line in guest["items"].items()}
    left_out = [product for product in lines if product not in own["items"] and product not in changed]
    entry = {"at": clock.timestamp(), "lines": lines, "leftOut": left_out}
    items = {
        f"items.{product}.quantity" if product in own["items"] else f"items.{product}": new
        for product, line in changed.items()
        for new in (line["quantity"] if product in own["items"] else dict(line),)
    }
    publish, guard = outbox.append_event(own, CartMerged(cart_id=guest["_id"], user_id=own["_id"]))
    update = merge_updates(
        {"$set": {f"merged.{guest['_id']}": entry}},
        {"$unset": {f"merged.{id}": True for id in own["merged"].keys() - _remembered(own["merged"])}},
        {"$set": items},
        {"$inc": {"lines": len(changed.keys() - own["items"].keys())}},
        items_changed(Access.of_user(own["_id"])) if changed else {},
        publish,
    )
    update = {operator: fields for operator, fields in update.items() if fields}
    unmerged = {f"merged.{guest['_id']}": {"$exists": False}, "version": own["version"], "erased": False}
    return update, {**unmerged, **guard}


def _remembered(merged: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the merges that may still be repeated: the tombstone of the guest's cart outlives the others by no day."""
    oldest = clock.timestamp_ago(GUEST_S + DAY_S)
    return {id for id, entry in merged.items() if entry["at"] > oldest}


def _priced(cart: Doc, prices: Prices | None = None) -> PricedCart:
    items = cart["items"]
    if prices is None or items.keys() - prices.keys():
        try:
            prices = _find_prices(items, attempts=1)  # the kept prices serve a reader better than a slow answer
        except TransientError:
            prices = None
    return PricedCart(cart, [domain.price_line(id, line, prices) for id, line in domain.in_order(items)])


def _find_prices(product_ids: Ids[str], attempts: int = calls.MAX_ATTEMPTS) -> Prices:
    """Return what `products` says about these products, in one call. Raises TransientError."""
    if not product_ids:
        return {}
    reply: PriceItems.Reply = calls.send(PriceItems(product_ids=list(product_ids)), attempts=attempts)
    return {**dict.fromkeys(product_ids), **{item.product_id: item for item in reply.items}}
