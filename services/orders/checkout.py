"""The checkout saga: place the order, check the buyer, reserve the stock, take the payment, confirm both.

If a step is rejected, the steps before it are compensated, in reverse order. While the buyer has to confirm the payment
at the bank, the saga waits; it goes on when `payments` says what became of it, or the buyer comes back.

    POST /api/orders -> place_order: inserts the saga, drives it until `checkout_deadline`
    worker           -> driver:      resumes every open saga until it ends
"""

from decimal import Decimal
from typing import Any, NamedTuple

from chassis import calls, clock
from chassis.calls.outcomes import NotServed
from chassis.errors import DomainError, ErrorCategory, InvalidInput
from chassis.sagas import Saga, Step, StepTimedOut
from chassis.sagas.driver import CONCURRENCY_SLOT_INDEX, DUE_INDEX, Driver
from chassis.sagas.waiting import UserAction
from chassis.schema import Id, SagaData
from chassis.store import Collection, Doc, Duplicate
from services.carts.messages import GetCart
from services.inventory.messages import ConfirmStock, Line, Release, RenewReservation, Reserve
from services.orders import application, domain, metrics, quotas, repository
from services.orders.domain import Order
from services.orders.messages import OrderItem, OrderPlaced
from services.orders.settings import settings
from services.payments.messages import CancelPayment, Charge
from services.products.messages import PriceItems
from services.users.messages import CheckBuyer, GetBuyer

sagas = Collection("sagas", DUE_INDEX, CONCURRENCY_SLOT_INDEX)


class CheckoutData(SagaData):
    """What a checkout is opened with: commands take their fields from here by name."""

    order_id: Id
    user_id: Id
    items: list[OrderItem]
    lines: list[Line]
    total: int
    """In minor units, as `Charge` takes it."""
    total_amount: str
    currency: str
    payment_token: str
    cart_id: Id | None = None
    may_wait: bool = True


class CartVersion(NamedTuple):
    """The cart to order, in the version that the buyer saw."""

    cart_id: str
    version: int


class TooManyOpenCheckouts(DomainError, kind="too_many_open", category=ErrorCategory.RATE_LIMITED):
    """The user has reached the limit of pending orders."""

    def __init__(self) -> None:
        super().__init__("You have too many orders in progress. Try again when one is complete.")


class CheckoutTimedOut(StepTimedOut, kind="timeout"):
    """A step of the checkout took too long, and the order was rejected."""


def place(data: dict[str, Any]) -> None:
    """Append OrderPlaced to the stream of the order."""
    placed = OrderPlaced(
        order_id=data["order_id"],
        user_id=data["user_id"],
        items=[OrderItem.read(item) for item in data["items"]],
        total_amount=data["total_amount"],
        currency=data["currency"],
        cart_id=data.get("cart_id"),
    )
    application.execute(data["order_id"], lambda order: domain.place(order, placed))


def reject(data: dict[str, Any]) -> None:
    """Reject the order, or cancel it if the buyer asked for that."""
    reason = data["reason"]["kind"]
    application.execute(data["order_id"], lambda order: domain.reject(order, reason), waited="waited_ms" in data)


def confirm(data: dict[str, Any]) -> None:
    """Confirm the order. Raises CancelledByBuyer."""
    payment = data["payment_id"]
    application.execute(data["order_id"], lambda order: domain.confirm(order, payment), waited="waited_ms" in data)


def require_wanted(data: dict[str, Any]) -> None:
    """Check that the buyer still wants the order whose payment is to be confirmed. Raises CancelledByBuyer."""
    order = repository.get(data["order_id"])
    if order.cancel_requested:
        raise domain.CancelledByBuyer
    if not data.get("action"):
        metrics.count_waiting(order)


checkout = Saga(
    "checkout",
    steps=(
        Step("place", do=place, undo=reject),
        Step("check buyer", do=CheckBuyer),
        Step("reserve stock", do=Reserve, undo=Release, time_limit_s=30),
        Step(
            "take payment",
            do=Charge,
            undo=CancelPayment,
            time_limit_s=600,
            heartbeat_command=RenewReservation,
            before_waiting=require_wanted,
        ),
        Step("confirm stock", do=ConfirmStock, undo=Release, time_limit_s=None),
        Step("confirm order", do=confirm, time_limit_s=None, errors=(domain.CancelledByBuyer,)),
    ),
    secrets=("payment_token", "action"),
    log_id_field="orderId",
    timed_out=CheckoutTimedOut,
    no_skip_after="take payment",
    no_abort_after="confirm stock",
    data=CheckoutData,
)
driver = Driver(checkout, sagas, lease_s=lambda: settings().lease)


def place_order(
    id: str,
    user_id: str,
    wanted: dict[str, int] | CartVersion,
    payment_token: str,
    expected_total: Decimal | None = None,
    expected_currency: str = "",
) -> Order:
    """Place an order of these units, or of a cart, and return it, pending if `checkout_deadline` passes first.

    The insert of the saga accepts the order, at the catalog prices that were compared with what the buyer expects. A
    repeated request does not drive the saga: the request that inserted it may still be driving.

    Raises InvalidInput, NotFound, CartChanged, PriceChanged, QuotaExceeded, TooManyOpenCheckouts, and the error of the
    saga with the `orderId` of the rejected order.
    """
    saga = sagas.get(id) or _open_and_drive(id, user_id, wanted, payment_token, expected_total, expected_currency)
    if saga["ended"] == "undone":
        error = checkout.rebuild(saga["reason"], orderId=id)
        if error.kind != domain.CancelledByBuyer.kind:
            quotas.forget_order(user_id, id)  # the event does it, too, but a little later
        raise error
    place(saga["data"])  # the first step may not have run yet, and the response names an order that must be found
    return repository.get(id)


def cancel(order: Order, by_owner: bool, dedup_key: str) -> Order:
    """Cancel an order; a cancel by the owner counts against a quota. Raises WrongStatus, TooManyCancels."""
    if by_owner and order.status in ("pending", "confirmed"):
        units = {item.product_id: item.quantity for item in order.items}
        quotas.count_cancel(order.user_id, order.id, units, lambda: is_verified(order.user_id))
    cancelled = application.cancel(order.id, dedup_key)
    resume(order.id)  # it does not wait for a payment that nobody wants
    return cancelled


def resume(id: str) -> None:
    """Let a checkout that waits for its buyer ask `payments` at once what became of the payment."""
    driver.hint(id)


def actions(ids: list[str]) -> dict[str, UserAction]:
    """Return what the buyers of these orders have to do now, of those that wait for that."""
    found = {saga["_id"]: saga for saga in sagas.find({"_id": {"$in": ids}}, limit=max(1, len(ids)))} if ids else {}
    wanted = {id: UserAction.read(saga["data"]["action"]) for id, saga in found.items() if _waits(saga)}
    return {id: action for id, action in wanted.items() if clock.timestamp() < action.until}


def _waits(saga: Doc) -> bool:
    return bool(saga["open"] and not saga["undoing"] and saga["data"].get("action"))


def find_opened(ids: list[str]) -> set[str]:
    """Return those of these orders that were opened, whatever became of them."""
    return {saga["_id"] for saga in sagas.iterate({"_id": {"$in": ids}})}


def is_verified(user_id: str) -> bool:
    """Return whether a user has confirmed the e-mail address. Raises TransientError."""
    try:
        return bool(calls.send(GetBuyer(user_id=user_id)).verified)
    except NotServed:  # every process of users is of release 0.2.0, whose accounts count as verified
        return True


def _open_and_drive(
    id: str,
    user_id: str,
    wanted: dict[str, int] | CartVersion,
    payment_token: str,
    expected_total: Decimal | None,
    expected_currency: str,
) -> Doc:
    started = clock.monotonic()
    cart = wanted if isinstance(wanted, CartVersion) else None
    quantities = wanted if isinstance(wanted, dict) else _units_of_cart(user_id, wanted)
    _require_allowed(quantities)
    prices = calls.send(PriceItems(product_ids=list(quantities)))
    items, total = domain.priced(quantities, prices.items, prices.with_variants)
    domain.require_expected(items, total, expected_total, expected_currency)
    data = CheckoutData(
        order_id=id,
        user_id=user_id,
        items=items,
        lines=[Line(product_id=product, quantity=quantity) for product, quantity in quantities.items()],
        total=total.minor,
        total_amount=str(total),
        currency=total.currency,
        payment_token=payment_token,
        cart_id=cart.cart_id if cart else None,
    )
    quotas.count_order(user_id, id, quantities, lambda: is_verified(user_id), find_opened)
    try:
        saga, opened = _open(id, user_id, data.data())
    except TooManyOpenCheckouts:
        quotas.forget_order(user_id, id)
        raise
    left_s = settings().checkout_deadline - (clock.monotonic() - started)
    return driver.drive(saga, max(0.0, left_s)) if opened else saga


def _units_of_cart(user_id: str, cart: CartVersion) -> dict[str, int]:
    """Return the units of each product in a cart. Raises InvalidInput, NotFound, CartChanged, TransientError."""
    reply: GetCart.Reply = calls.send(GetCart(user_id=user_id, cart_id=cart.cart_id, version=cart.version))
    if not reply.lines:
        raise InvalidInput(("cartId", "the cart is empty"))
    return {line.product_id: line.quantity for line in reply.lines}


def _require_allowed(quantities: dict[str, int]) -> None:
    if sum(quantities.values()) > settings().order_units:
        raise InvalidInput(("items", f"more than {settings().order_units} units in one order"))


def _open(id: str, user_id: str, data: Doc) -> tuple[Doc, bool]:
    """Insert the saga in a free concurrency slot of the user; return it, and whether this call inserted it.

    Their number bounds how much stock one user can reserve without paying. Raises TooManyOpenCheckouts.
    """
    concurrency_slots = [f"{user_id} {number}" for number in range(settings().open_checkouts)]
    for concurrency_slot in concurrency_slots if settings().rate_limits == "on" else [id]:
        try:
            return driver.open(id, data, concurrency_slot), True
        except Duplicate:
            if found := sagas.get(id):
                return found, False
    raise TooManyOpenCheckouts
