"""`/api/orders`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints

from chassis.errors import Forbidden, InvalidInput
from chassis.sagas.interventions import OUTCOMES
from chassis.sagas.waiting import UserAction
from chassis.schema import DecimalString, Id, RequestBody, Schema, Timestamp, Total, growing
from chassis.store import Doc
from chassis.web.api import ADMIN, SIGNED_IN, Api, Response, require_self
from chassis.web.auth import Caller
from chassis.web.idempotency import Attempt
from chassis.web.paging import Page, PageQuery, find_page
from services.carts.messages import GetCart
from services.orders import application, checkout, projection, repository
from services.orders.checkout import CartVersion, sagas
from services.orders.domain import Order as OrderState
from services.orders.domain import PriceChanged, WrongStatus, is_card_number
from services.orders.quotas import QuotaExceeded, TooManyCancels
from services.orders.settings import settings

api = Api()

MAX_UNITS_PER_ITEM = 10_000
Quantity = Annotated[int, Field(ge=1, le=MAX_UNITS_PER_ITEM)]
Status = Literal["pending", "confirmed", "rejected", "cancelled", "shipped", "delivered"]
REASONS = sorted({error.kind for error in checkout.checkout.errors})
"""Why an order may be rejected or canceled."""


def _check_no_card_number(token: str) -> str:
    if is_card_number(token):
        raise ValueError("must be a token of the payment provider, never the number of a card")
    return token


PaymentToken = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,255}$"), AfterValidator(_check_no_card_number)
]


def payment_token(given: str) -> str:
    """Return the token that pays for an order. Raises InvalidInput if the payment provider cannot have given it."""
    if settings().payment_provider == "test":
        return given or "tok_ok"
    if not given or given.startswith("tok_"):
        raise InvalidInput(("paymentToken", "send the id of a PaymentMethod that the page got from Stripe: pm_..."))
    return given


class WantedItem(RequestBody):
    product_id: Id
    quantity: Quantity


class NewOrder(RequestBody):
    """Either `items`, or one `productId` with its `quantity`, or your `cartId` in the `cartVersion` that you saw.

    What was ordered leaves the cart, and what was added meanwhile stays.

    With `expectedTotal` and `expectedCurrency`, an order that costs something else is rejected.
    """

    items: Annotated[list[WantedItem], Field(min_length=1, max_length=100)] | None = None
    product_id: Id | None = None
    quantity: Quantity | None = None
    cart_id: Id | None = None
    cart_version: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    payment_token: PaymentToken = ""
    """What the payment provider gave the browser; needed unless the provider is `test`."""
    user_id: Id | None = None
    expected_total: Total | None = None
    expected_currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None


class OrderQuery(PageQuery):
    status: Status | None = None
    user_id: Id | None = None


class Item(Schema):
    product_id: Id
    name: str
    quantity: int
    price: DecimalString


class Order(Schema):
    id: Id
    user_id: Id
    items: list[Item]
    total_amount: DecimalString
    currency: str
    status: Annotated[Status, growing(*get_args(Status))]
    reason: Annotated[str, growing(*REASONS)] | None
    payment_id: Id | None
    action: UserAction | None
    """What the buyer has to do before the order is confirmed: `redirect` to `url`, before `until`."""
    created_at: Timestamp
    updated_at: Timestamp


Orders = Page[Order]


class TimelineEntry(Schema):
    """An event of the order, or a step of its saga with its outcome.

    `traceId` finds the work in traces and logs; only an administrator gets it.
    """

    time: Timestamp
    type: str
    step: str
    outcome: Annotated[str, growing("", *OUTCOMES)]
    detail: str
    trace_id: Annotated[str | None, Field(exclude_if=lambda trace_id: trace_id is None)] = None


class Timeline(Schema):
    items: list[TimelineEntry]


@api.post(
    "/api/orders",
    auth=SIGNED_IN,
    responses={201: Order, 202: Order},
    errors=(
        *(*checkout.checkout.errors, checkout.TooManyOpenCheckouts, QuotaExceeded, PriceChanged, Forbidden),
        *GetCart.errors,
    ),
)
def place_order(body: NewOrder, caller: Caller, attempt: Attempt) -> Response:
    """Place an order: 201 when it is confirmed, 202 while it is pending, perhaps with an `action` for the buyer."""
    user_id = body.user_id or caller.id
    if user_id != caller.id and not caller.is_admin:
        raise Forbidden("You can only place orders for yourself.")
    order = checkout.place_order(
        attempt.created_id,
        user_id,
        _wanted(body),
        payment_token(body.payment_token),
        body.expected_total,
        body.expected_currency or "",
    )
    return _reply(order, 202 if order.status == "pending" else 201, {"Location": f"/api/orders/{order.id}"})


@api.get("/api/orders", auth=SIGNED_IN, responses={200: Orders}, errors=(Forbidden,))
def list_orders(query: OrderQuery, caller: Caller) -> Orders:
    """List your own orders, newest first; an administrator lists those of all users."""
    where: dict[str, Any] = {}
    if query.user_id and query.user_id != caller.id and not caller.is_admin:
        raise Forbidden("You can only list your own orders.")
    if query.user_id or not caller.is_admin:
        where["userId"] = query.user_id or caller.id
    if query.status:
        where["status"] = query.status
    docs, cursor = find_page(projection.summaries, where, query, sort="-_id")
    actions = checkout.actions([doc["_id"] for doc in docs if doc["status"] == "pending"])
    return Orders(items=[_list_view(doc, actions.get(doc["_id"])) for doc in docs], next_cursor=cursor)


@api.get("/api/orders/{id}", auth=SIGNED_IN, responses={200: Order})
def get_order(id: str, caller: Caller) -> Response:
    """Get one order."""
    return _reply(_own_order(id, caller))


@api.get("/api/orders/{id}/timeline", auth=SIGNED_IN, responses={200: Timeline})
def get_timeline(id: str, caller: Caller) -> Timeline:
    """List everything that happened to an order, oldest first."""
    _own_order(id, caller)
    entries = projection.timeline(id, sagas.get(id))
    shown = [{**entry, "trace_id": (caller.is_admin and entry["trace_id"]) or None} for entry in entries]
    return Timeline(items=[TimelineEntry.model_validate(entry) for entry in shown])


@api.post(
    "/api/orders/{id}/cancel",
    auth=SIGNED_IN,
    responses={200: Order, 202: Order},
    errors=(WrongStatus, TooManyCancels),
)
def cancel_order(id: str, caller: Caller, attempt: Attempt) -> Response:
    """Cancel an order: 202 while its checkout is being undone. Refund and restock follow."""
    placed = _own_order(id, caller)
    order = checkout.cancel(placed, caller.id == placed.user_id, attempt.dedup_key)
    return _reply(order, 202 if order.status == "pending" else 200)


@api.post("/api/orders/{id}/resume", auth=SIGNED_IN, responses={202: Order})
def resume_order(id: str, caller: Caller) -> Response:
    """Have a pending order look at once whether its payment was confirmed, as when the buyer comes back from the bank.

    Any other order stays as it is.
    """
    order = _own_order(id, caller)
    checkout.resume(id)
    return _reply(order, 202)


@api.post("/api/orders/{id}/ship", auth=ADMIN, responses={200: Order}, errors=(WrongStatus,))
def ship_order(id: str, attempt: Attempt) -> Response:
    """Mark an order as shipped."""
    return _reply(application.ship(id, attempt.dedup_key))


@api.post("/api/orders/{id}/deliver", auth=ADMIN, responses={200: Order}, errors=(WrongStatus,))
def deliver_order(id: str, attempt: Attempt) -> Response:
    """Mark an order as delivered."""
    return _reply(application.deliver(id, attempt.dedup_key))


def _wanted(body: NewOrder) -> dict[str, int] | CartVersion:
    """Return the cart to order, or the units of each product. Raises InvalidInput."""
    given = {
        "cartId with cartVersion": (body.cart_id, body.cart_version),
        "items": (body.items,),
        "productId with quantity": (body.product_id, body.quantity),
    }
    parts = [all(part is not None for part in each) for each in given.values() if each != (None,) * len(each)]
    if parts != [True]:
        raise InvalidInput(("items", f"give either {', or '.join(given)}"))
    if body.cart_id is not None and body.cart_version is not None:
        return CartVersion(body.cart_id, body.cart_version)
    items = body.items or [WantedItem(product_id=str(body.product_id), quantity=body.quantity or 0)]
    units: dict[str, int] = {}
    for item in items:
        units[item.product_id] = units.get(item.product_id, 0) + item.quantity
    return units


def _own_order(id: str, caller: Caller) -> OrderState:
    order = repository.get(id)
    require_self(caller, order.user_id, "order")
    return order


def _reply(order: OrderState, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    view = Order(
        id=order.id,
        user_id=order.user_id,
        items=[Item.read(item.data()) for item in order.items],
        total_amount=order.total_amount,
        currency=order.currency,
        status=order.status,  # type: ignore[arg-type]
        reason=order.reason or None,
        payment_id=order.payment_id or None,
        action=checkout.actions([order.id]).get(order.id) if order.status == "pending" else None,
        created_at=order.created_at,
        updated_at=order.updated_at,
    )
    return Response(view, status, version=order.version, headers=headers or {})


def _list_view(doc: Doc, action: UserAction | None) -> Order:
    fields = {**doc, "id": doc["_id"], "reason": doc["reason"] or None, "paymentId": doc["paymentId"] or None}
    return Order.read({**fields, "action": action and action.data()})
