"""How carts are loaded and stored: one document a cart, its lines in a map by product.

    {_id, userId: "" for a guest, tokenHash: "" for a user, version: "rises with the lines alone", lines: 2,
     items: {"<product>": {quantity, name, seenPrice, currency, addedAt, addKey}},
     orders: {"<order>": {state: marked | subtracted | dropped, lines: {"<product>": 3}, at}},
     merged: {"<cart of a guest>": {at, lines, leftOut}}, mergedInto: "the user", erased, abandonAt, expiresAt, ...}

Every change of a line is one guarded update, so that two tabs lose nothing. The cart of a user has the id of the user.
"""

import hashlib
from dataclasses import dataclass, field

from chassis import clock
from chassis.errors import NotFound
from chassis.events import outbox
from chassis.store import Collection, Doc, Duplicate, Filter, Index, Update
from chassis.store.documents import matches

DAY_S = 24 * 3600.0
EMPTY_GUEST_S, GUEST_S, USER_S = DAY_S, 30 * DAY_S, 180 * DAY_S
"""How long a cart is kept after its last change."""
IDLE_S = DAY_S
"""Time without a change after which the cart of a user counts as abandoned."""
MINE = "mine"
"""The id that stands for the cart of the signed-in user."""

carts = Collection(
    "carts",
    Index("expiresAt"),
    Index("abandonAt"),
    Index("mergedInto", partial={"mergedInto": {"$gt": ""}}),
    outbox.PENDING_INDEX,
)


@dataclass(frozen=True)
class Access:
    """The cart that a request is about, and the guard that its sender may use it."""

    cart_id: str
    guard: Filter = field(repr=False)
    user_id: str = ""

    @classmethod
    def of_user(cls, user_id: str) -> "Access":
        return cls(user_id, {"userId": user_id, "erased": False}, user_id)

    @classmethod
    def of_guest(cls, cart_id: str, token: str) -> "Access":
        guard = {"tokenHash": hash_token(token), "mergedInto": "", "expiresAt": {"$gt": clock.timestamp()}}
        return cls(cart_id, guard)


def load(access: Access) -> Doc:
    """Return a cart; that of a user who has none is new, and not stored. Raises NotFound."""
    cart = carts.get(access.cart_id)
    if cart is None and access.user_id:
        return {**new_cart(access.user_id, user_id=access.user_id), "expiresAt": ""}
    if cart is None or not matches(cart, access.guard):
        raise NotFound("cart")
    return cart


def ensure_stored(access: Access) -> None:
    """Insert the cart of a user who has none."""
    if access.user_id and carts.get(access.cart_id) is None:
        insert(new_cart(access.user_id, user_id=access.user_id))


def insert(cart: Doc) -> None:
    """Insert a cart, unless it exists."""
    try:
        carts.insert(cart)
    except Duplicate:
        pass


def new_cart(id: str, *, user_id: str = "", token: str = "") -> Doc:
    """Return a new cart, of a user or of a guest."""
    now = clock.timestamp()
    return {
        "_id": id,
        "userId": user_id,
        "tokenHash": hash_token(token) if token else "",
        "items": {},
        "lines": 0,
        "version": 0,
        "orders": {},
        "merged": {},
        "mergedInto": "",
        "erased": False,
        "createdAt": now,
        "updatedAt": now,
        "expiresAt": clock.timestamp_in(USER_S if user_id else EMPTY_GUEST_S),
        **outbox.new_outbox(id),
    }


def items_changed(access: Access) -> Update:
    """Return the part that every change of a cart's lines has in common."""
    now = {"updatedAt": clock.timestamp(), "expiresAt": clock.timestamp_in(USER_S if access.user_id else GUEST_S)}
    idle = {"abandonAt": clock.timestamp_in(IDLE_S)} if access.user_id else {}
    return {"$set": {**now, **idle}, "$inc": {"version": 1}}


def delete_expired() -> None:
    """Delete expired carts whose events are published."""
    carts.delete_all({"expiresAt": {"$lt": clock.timestamp()}, "pending": 0}, sort="expiresAt")


def hash_token(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
