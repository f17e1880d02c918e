"""Checkout: check the buyer, reserve the stock, take the payment, confirm. Undone in reverse when refused."""

from typing import Any

from chassis.sagas import Saga, Step
from chassis.sagas.driver import DUE, CONCURRENCY_SLOT, Driver
from chassis.settings import settings
from chassis.store import Collection
from services.inventory.messages import ConfirmStock, Release, RenewReservation, Reserve
from services.orders import domain, views
from services.orders.messages import OrderItem, OrderPlaced
from services.payments.messages import CancelPayment, Charge
from services.users.messages import CheckBuyer

sagas = Collection("sagas", DUE, CONCURRENCY_SLOT)


def place(data: dict[str, Any]) -> None:
    placed = OrderPlaced(
        order_id=data["order_id"],
        user_id=data["user_id"],
        items=[OrderItem.read(item) for item in data["items"]],
        total_amount=data["total_amount"],
        currency=data["currency"],
    )
    views.decide(data["order_id"], lambda order: domain.place(order, placed))


def reject(data: dict[str, Any]) -> None:
    views.decide(data["order_id"], lambda order: domain.reject(order, data["reason"]["kind"]))


def confirm(data: dict[str, Any]) -> None:
    views.decide(data["order_id"], lambda order: domain.confirm(order, data["payment_id"]))


checkout = Saga(
    "checkout",
    steps=(
        Step("place", do=place, undo=reject),
        Step("check buyer", do=CheckBuyer),
        Step("reserve stock", do=Reserve, undo=Release, time_limit_s=30),
        Step("take payment", do=Charge, undo=CancelPayment, time_limit_s=600, heartbeat_command=RenewReservation),
        Step("confirm stock", do=ConfirmStock, undo=Release, time_limit_s=None),
        Step("confirm order", do=confirm, time_limit_s=None),
    ),
    secrets=("payment_token",),
    log_id_field="orderId",
)
driver = Driver(checkout, sagas, lease=lambda: settings().lease)
