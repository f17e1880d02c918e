"""Checkout: check the buyer, reserve the stock, take the payment, confirm. Undone in reverse when refused."""

from typing import Any

from chassis.sagas import Saga, Step
from chassis.sagas.driver import DUE, PERMITS, Driver
from chassis.settings import settings
from chassis.store import Collection
from services.inventory.messages import ConfirmStock, Release, RenewReservation, Reserve
from services.orders import domain, views
from services.orders.messages import OrderItem, OrderPlaced
from services.payments.messages import CancelPayment, Charge
from services.users.messages import CheckBuyer

sagas = Collection("sagas", DUE, PERMITS)


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
        Step("reserve stock", do=Reserve, undo=Release, within=30),
        Step("take payment", do=Charge, undo=CancelPayment, within=600, meanwhile=RenewReservation),
        Step("confirm stock", do=ConfirmStock, undo=Release, within=None),
        Step("confirm order", do=confirm, within=None),
    ),
    secrets=("payment_token",),
    about="orderId",
)
driver = Driver(checkout, sagas, lease=lambda: settings().lease)
