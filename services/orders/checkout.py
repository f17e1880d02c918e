"""Checkout: check the buyer, reserve the stock, take the payment, confirm. Undone in reverse when refused."""

from typing import Any

from chassis import calls, clock
from chassis.errors import DomainError, ErrorCategory
from chassis.sagas import Saga, Step, StepTimedOut
from chassis.sagas.driver import CONCURRENCY_SLOT, DUE, Driver
from chassis.store import Collection, Doc, Duplicate
from services.inventory.messages import ConfirmStock, Release, RenewReservation, Reserve
from services.orders import application, domain, repository
from services.orders.domain import Order
from services.orders.messages import OrderItem, OrderPlaced
from services.orders.settings import settings
from services.payments.messages import CancelPayment, Charge
from services.products.messages import PriceItems
from services.users.messages import CheckBuyer


class TooManyOpenCheckouts(DomainError, kind="too_many_open", category=ErrorCategory.RATE_LIMITED):
    """The user has as many undecided orders as one may have."""

    def __init__(self) -> None:
        super().__init__("Wait until one of your orders is decided.")


class CheckoutTimedOut(StepTimedOut, kind="timeout"):
    """A step of the checkout took too long, and the order was rejected."""


def place_order(id: str, user: str, wanted: dict[str, int], payment_token: str) -> Order:
    """Place an order and take it as far as time allows; still pending, the worker goes on with it.

    Raises InvalidInput, TooManyOpenCheckouts, and the error of the saga with the `orderId` of the rejected order.
    Opening the saga is the one write that accepts the order; the prices are those of the catalog at that
    moment. A repetition does not drive: the request that opened the saga may still be at it, under the same fence.
    """
    saga = sagas.get(id) or _open_and_drive(id, user, wanted, payment_token)
    if saga["ended"] == "undone":
        raise checkout.rebuild(saga["reason"], orderId=id)
    return _placed(id, saga)


def _open_and_drive(id: str, user: str, wanted: dict[str, int], payment_token: str) -> Doc:
    """Open the saga, and drive it as far as time allows."""
    began = clock.monotonic()
    prices = calls.send(PriceItems(product_ids=list(wanted)))
    items, total = domain.priced(wanted, prices.items)
    data = {
        "order_id": id,
        "user_id": user,
        "items": [item.data() for item in items],
        "lines": [{"productId": product, "quantity": quantity} for product, quantity in wanted.items()],
        "total": total.minor,
        "total_amount": str(total),
        "currency": total.currency,
        "payment_token": payment_token,
    }
    saga, opened = _open(id, user, data)
    left = settings().checkout_deadline - (clock.monotonic() - began)
    return driver.drive(saga, max(0.0, left)) if opened else saga


def _open(id: str, user: str, data: Doc) -> tuple[Doc, bool]:
    """The saga, opened now or (False) before. A user has so many slots, so that nobody can reserve everything."""
    slots = [f"{user} {number}" for number in range(settings().open_checkouts)]
    for slot in slots if settings().rate_limits == "on" else [id]:
        try:
            return driver.open(id, data, slot), True
        except Duplicate:
            if found := sagas.get(id):
                return found, False
    raise TooManyOpenCheckouts


def _placed(id: str, saga: Doc) -> Order:
    """The order as it stands. Who is told of it must find it, so its first commit is made here at the latest."""
    place(saga["data"])
    return repository.get(id)


sagas = Collection("sagas", DUE, CONCURRENCY_SLOT)


def place(data: dict[str, Any]) -> None:
    placed = OrderPlaced(
        order_id=data["order_id"],
        user_id=data["user_id"],
        items=[OrderItem.read(item) for item in data["items"]],
        total_amount=data["total_amount"],
        currency=data["currency"],
    )
    application.decide(data["order_id"], lambda order: domain.place(order, placed))


def reject(data: dict[str, Any]) -> None:
    application.decide(data["order_id"], lambda order: domain.reject(order, data["reason"]["kind"]))


def confirm(data: dict[str, Any]) -> None:
    application.decide(data["order_id"], lambda order: domain.confirm(order, data["payment_id"]))


checkout = Saga(
    "checkout",
    steps=(
        Step("place", do=place, undo=reject),
        Step("check buyer", do=CheckBuyer),
        Step("reserve stock", do=Reserve, undo=Release, time_limit_s=30),
        Step("take payment", do=Charge, undo=CancelPayment, time_limit_s=600, heartbeat_command=RenewReservation),
        Step("confirm stock", do=ConfirmStock, undo=Release, time_limit_s=None),
        Step("confirm order", do=confirm, time_limit_s=None, errors=(domain.CancelledByBuyer,)),
    ),
    secrets=("payment_token",),
    log_id_field="orderId",
    timed_out=CheckoutTimedOut,
)
driver = Driver(checkout, sagas, lease=lambda: settings().lease)
