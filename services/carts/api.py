"""`/api/carts`: the id `mine` stands for the cart of the signed-in user, on every route."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from chassis.errors import IfMatch, NotFound
from chassis.schema import DecimalString, Id, RequestBody, Schema, Timestamp, growing
from chassis.web.api import ANYONE, OPTIONAL, SIGNED_IN, Api, Response
from chassis.web.auth import Caller
from chassis.web.idempotency import Attempt
from chassis.web.problems import unauthenticated
from services.carts import application, domain
from services.carts.application import PricedCart
from services.carts.repository import MINE, Access

api = Api()

TOKEN_HEADER = "Cart-Token"  # noqa: S105 - a name
MAX_TOKEN_CHARS = 100

Units = Annotated[int, Field(ge=1, le=domain.MAX_UNITS_PER_LINE)]
LineProblem = Annotated[str, growing(*domain.LINE_PROBLEMS)]
CartProblem = Annotated[str, growing(*domain.CART_PROBLEMS)]


class NewItem(RequestBody):
    product_id: Id
    quantity: Units


class Quantity(RequestBody):
    """The units of a product; 0 takes it out."""

    quantity: Annotated[int, Field(ge=0, le=domain.MAX_UNITS_PER_LINE)]


class GuestCart(RequestBody):
    """The cart of a guest, and the token that opens it."""

    cart_id: Id
    token: Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_-]{{1,{MAX_TOKEN_CHARS}}}$")]


class Item(Schema):
    """A line at the present price of one unit; `priceWas` is the one at which it was added, if that differs."""

    product_id: Id
    name: str
    picture: str | None
    quantity: int
    price: DecimalString
    price_was: DecimalString | None
    stock: Annotated[str, growing("in", "low", "out")] | None
    problems: list[LineProblem]


class Cart(Schema):
    """A cart reserves nothing, and an order compares its version and total. `total` is null for several currencies."""

    id: Id
    items: list[Item]
    total: DecimalString | None
    currency: str | None
    problems: list[CartProblem]
    version: int
    expires_at: Timestamp | None


class NewCart(Cart):
    """A new cart; `token` is shown once, and gives access to it in the header `Cart-Token`."""

    token: str


class MergedItem(Schema):
    product_id: Id
    quantity: int


class MergedCart(Cart):
    """`merged` lists the lines of the guest's cart; those in `leftOut` did not fit."""

    merged: list[MergedItem]
    left_out: list[Id]


@api.post("/api/carts", auth=ANYONE, responses={201: NewCart}, idempotent=False)
def create_cart() -> Response:
    """Create the cart of a guest."""
    cart, token = application.create_guest_cart()
    location = {"Location": f"/api/carts/{cart.doc['_id']}"}
    return Response(NewCart(**_fields(cart), token=token), 201, version=0, headers=location)


@api.get("/api/carts/{id}", auth=OPTIONAL, secret_header=TOKEN_HEADER, responses={200: Cart})
def get_cart(id: str, caller: Caller, secret: str) -> Response:
    """Get a cart at present prices; at those that were kept while they are not known."""
    return _reply(application.read(_access(id, caller, secret)))


@api.post("/api/carts/{id}/items", auth=OPTIONAL, secret_header=TOKEN_HEADER, responses={200: Cart})
def add_item(id: str, body: NewItem, caller: Caller, secret: str, attempt: Attempt) -> Response:
    """Add units of a product. A lack of stock is no error: it becomes a problem of the line."""
    access = _access(id, caller, secret)
    return _reply(application.add(access, body.product_id, body.quantity, attempt.dedup_key))


@api.put("/api/carts/{id}/items/{product}", auth=OPTIONAL, secret_header=TOKEN_HEADER, responses={200: Cart})
def set_item(id: str, product: str, body: Quantity, caller: Caller, secret: str, if_match: IfMatch) -> Response:
    """Set the units of a product; 0 takes it out."""
    return _reply(application.set_quantity(_access(id, caller, secret), product, body.quantity, if_match))


@api.delete("/api/carts/{id}/items", auth=OPTIONAL, secret_header=TOKEN_HEADER, responses={204: None})
def clear_cart(id: str, caller: Caller, secret: str, if_match: IfMatch) -> Response:
    """Take all products out."""
    application.clear(_access(id, caller, secret), if_match)
    return Response(status=204)


@api.post(
    "/api/carts/mine/merges",
    auth=SIGNED_IN,
    responses={200: MergedCart},
    errors=(NotFound, domain.TooManyMerges),
    idempotent=False,
)
def merge_cart(body: GuestCart, caller: Caller) -> Response:
    """Merge the cart of a guest into your own, once: each line gets the larger quantity of both."""
    cart = application.merge(caller.id, body.cart_id, body.token)
    merge = cart.doc["merged"][body.cart_id]
    items = [MergedItem(product_id=id, quantity=quantity) for id, quantity in merge["lines"].items()]
    view = MergedCart(**_fields(cart), merged=items, left_out=merge["leftOut"])
    return Response(view, version=cart.doc["version"])


def _access(id: str, caller: Caller, token: str) -> Access:
    """Return the cart of the caller, or one that the token gives access to. Raises Problem 401."""
    if caller.id and id in (MINE, caller.id):
        return Access.of_user(caller.id)
    if id == MINE:
        raise unauthenticated()
    return Access.of_guest(id, token[: MAX_TOKEN_CHARS + 1])


def _reply(cart: PricedCart) -> Response:
    return Response(Cart(**_fields(cart)), version=cart.doc["version"])


def _fields(cart: PricedCart) -> dict[str, Any]:
    total, currency = domain.total(cart.lines) or (None, None)
    return {
        "id": cart.doc["_id"],
        "items": [
            Item(
                product_id=line.product_id,
                name=line.name,
                picture=line.picture,
                quantity=line.quantity,
                price=line.price,
                price_was=line.price_was,
                stock=line.stock,
                problems=line.problems,
            )
            for line in cart.lines
        ],
        "total": total,
        "currency": currency,
        "problems": domain.problems(cart.lines),
        "version": cart.doc["version"],
        "expires_at": cart.doc["expiresAt"] or None,
    }
