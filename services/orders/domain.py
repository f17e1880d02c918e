"""What may happen to an order, and when.

pending -> confirmed -> shipped -> delivered
   |-> rejected  |
   +-> cancelled <+
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from chassis import clock
from chassis.audit import Finding
from chassis.errors import DomainError, InvalidInput, NotFound
from chassis.messages import Event
from chassis.money import Money
from chassis.schema import Id
from chassis.store import Doc
from services.inventory.messages import Line, ReservationState
from services.orders.messages import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderItem,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from services.payments.messages import PaymentState
from services.products.messages import PricedItem


class CancelRequested(Event, type="order.cancel_requested", key="order_id", public=False):
    order_id: Id


class RefundNoted(Event, type="order.refund_noted", key="order_id", public=False):
    order_id: Id


class RestockNoted(Event, type="order.restock_noted", key="order_id", public=False):
    order_id: Id


EVENTS = (OrderPlaced, OrderConfirmed, OrderRejected, OrderCancelled, OrderShipped, OrderDelivered)
INTERNAL = (CancelRequested, RefundNoted, RestockNoted)
PAID, ENDED = ("confirmed", "shipped", "delivered"), ("rejected", "cancelled")
FOLLOWS: dict[type[Event], tuple[str, ...]] = {
    OrderPlaced: ("",),
    CancelRequested: ("pending",),
    OrderConfirmed: ("pending",),
    OrderRejected: ("pending",),
    OrderCancelled: ("pending", "confirmed"),
    OrderShipped: ("confirmed",),
    OrderDelivered: ("shipped",),
    RefundNoted: ("pending", *PAID, *ENDED),
    RestockNoted: ("pending", *PAID, *ENDED),
}
"""Event -> the statuses in which it may come."""
ARRIVED = 300.0
"""Seconds in which what an event tells has had its effect everywhere."""
DECIDED = 900.0
"""Seconds in which a checkout has ended, whatever it had to wait for."""


@dataclass(frozen=True)
class Order:
    """An order as its stream tells it; `version` counts the commits."""

    id: str = ""
    user_id: str = ""
    items: tuple[OrderItem, ...] = ()
    total_amount: str = ""
    currency: str = ""
    status: str = ""
    reason: str = ""
    payment_id: str = ""
    cancel_requested: bool = False
    refunded: bool = False
    restocked: bool = False
    version: int = 0
    created_at: str = ""
    updated_at: str = ""

    def apply(self, event: Event, time: str) -> "Order":
        order = replace(self, version=self.version + 1, updated_at=time)
        match event:
            case OrderPlaced():
                return replace(
                    order,
                    id=event.order_id,
                    user_id=event.user_id,
                    items=tuple(event.items),
                    total_amount=event.total_amount,
                    currency=event.currency,
                    status="pending",
                    created_at=time,
                )
            case OrderConfirmed():
                return replace(order, status="confirmed", payment_id=event.payment_id)
            case OrderRejected():
                return replace(order, status="rejected", reason=event.reason)
            case OrderCancelled():
                return replace(order, status="cancelled", reason=event.reason)
            case OrderShipped():
                return replace(order, status="shipped")
            case OrderDelivered():
                return replace(order, status="delivered")
            case CancelRequested():
                return replace(order, cancel_requested=True)
            case RefundNoted():
                return replace(order, refunded=True)
            case RestockNoted():
                return replace(order, restocked=True)
        raise ValueError(f"an order knows no {event.type}")


NEW = Order()


def priced(wanted: dict[str, int], prices: list[PricedItem]) -> tuple[list[OrderItem], Money]:
    """The items of an order and their total, at the prices of the catalogue. Raises InvalidInput."""
    found = {item.product_id: item for item in prices}
    if missing := [product for product in wanted if product not in found]:
        raise InvalidInput(*(("items", f"there is no product {product}") for product in missing))
    currencies = sorted({item.currency for item in prices})
    if len(currencies) > 1:
        raise InvalidInput(("items", f"products of different currencies ({', '.join(currencies)}) cannot be one order"))
    total = Money(0, currencies[0])
    items = []
    for product, quantity in wanted.items():
        price = Money(found[product].price, currencies[0])
        total += price * quantity
        items.append(OrderItem(product_id=product, name=found[product].name, quantity=quantity, price=str(price)))
    return items, total


def place(order: Order, placed: OrderPlaced) -> OrderPlaced | None:
    return None if order.status else placed


def confirm(order: Order, payment: str) -> OrderConfirmed | None:
    """Raises DomainError where the buyer has asked to cancel before.

    Asked again for an order that this payment has confirmed, it changes nothing, whatever became of the order since.
    """
    if order.payment_id == payment:
        return None
    if order.cancel_requested or order.status != "pending":
        raise DomainError("cancelled", "Cancelled", "The order was cancelled before it was confirmed.")
    return OrderConfirmed(order_id=order.id, user_id=order.user_id, payment_id=payment)


def reject(order: Order, reason: str) -> OrderRejected | OrderCancelled | None:
    """End an order that could not be had: cancelled if that was asked for, else rejected."""
    if order.status != "pending":
        return None
    if order.cancel_requested:
        return OrderCancelled(order_id=order.id, user_id=order.user_id, reason="cancelled")
    return OrderRejected(order_id=order.id, user_id=order.user_id, reason=reason)


def cancel(order: Order) -> OrderCancelled | CancelRequested | None:
    """Raises DomainError for an order that is on its way, or rejected."""
    _exists(order)
    if order.status == "pending":
        return None if order.cancel_requested else CancelRequested(order_id=order.id)
    if order.status == "confirmed":
        return OrderCancelled(order_id=order.id, user_id=order.user_id, reason="cancelled")
    if order.status == "cancelled":
        return None
    raise _wrong(order, "cancelled")


def ship(order: Order) -> OrderShipped:
    _exists(order)
    if order.status != "confirmed":
        raise _wrong(order, "shipped")
    return OrderShipped(order_id=order.id, user_id=order.user_id)


def deliver(order: Order) -> OrderDelivered:
    _exists(order)
    if order.status != "shipped":
        raise _wrong(order, "delivered")
    return OrderDelivered(order_id=order.id, user_id=order.user_id)


def note_refund(order: Order) -> RefundNoted | None:
    return RefundNoted(order_id=order.id) if order.status and not order.refunded else None


def note_restock(order: Order) -> RestockNoted | None:
    return RestockNoted(order_id=order.id) if order.status and not order.restocked else None


def wrong_history(id: str, events: list[Event], versions: list[int], sequences: list[int]) -> Iterator[Finding]:
    """What cannot be in the stream of an order; of the numbers, an internal event has no sequence (0)."""
    for invariant, name, numbers in (("I10", "versions", versions), ("I8", "public events", sequences)):
        if missing := sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers)):
            yield Finding(id, invariant, f"its {name} lack {', '.join(map(str, missing))}")
    order = NEW
    for event in events:
        if order.status not in FOLLOWS[type(event)]:
            yield Finding(id, "I10", f"{event.type} came while it was {order.status or 'not placed'}")
        order = order.apply(event, "")
    for name, times in Counter(event.type for event in events).items():
        if times > 1:
            yield Finding(id, "I7", f"{name} came {times} times")


def wrong_end(id: str, order: Order, saga: Doc | None) -> Iterator[Finding]:
    """Where order and saga do not agree on how the checkout ended; and one that does not end."""
    if saga is None:
        if order.status:
            yield Finding(id, "I9", "no saga placed it")
    elif saga["open"]:
        if saga["openedAt"] < clock.timestamp_ago(DECIDED):
            yield Finding(id, "I5", f"its saga is open since {saga['openedAt']}")
    elif order.status in ("", "pending"):
        yield Finding(id, "I5", f"is {order.status or 'not there'}, and its saga has ended")
    elif (saga["ended"] == "done") != bool(order.payment_id):
        yield Finding(id, "I6", f"is {'' if order.payment_id else 'not '}confirmed, and its saga ended {saga['ended']}")


def wrong_list(id: str, order: Order, right: Doc, shown: Doc | None) -> Iterator[Finding]:
    """Where the list shows something else than the events say; a list that is behind catches up by itself."""
    if not order.status:
        if shown:
            yield Finding(id, "I16", "is in the list, and has no events")
    elif (shown is None or shown["version"] < order.version) and _recent(order):
        return
    elif shown is None:
        yield Finding(id, "I16", "is not in the list")
    elif wrong := sorted(name for name in right.keys() | shown.keys() if right.get(name) != shown.get(name)):
        yield Finding(id, "I16", f"the list shows another {', '.join(wrong)}")


def wrong_money(order: Order, payment: PaymentState | None) -> Iterator[Finding]:
    """A paid order has one captured payment of its total; one that ended otherwise has none, or it went back."""
    status = payment.status if payment else "absent"
    if payment and (paid := Money(payment.amount, payment.currency)) != _total(order):
        yield Finding(order.id, "I2", f"costs {_total(order)} {order.currency}, its payment is {paid} {paid.currency}")
    if order.status in PAID and status != "completed":
        yield Finding(order.id, "I6", f"is to be paid for, and its payment is {status}")
    if order.status not in ENDED or (_is_cancelled_lately(order) and not order.refunded):
        return
    if status not in ("absent", "failed", "refunded"):
        yield Finding(order.id, "I6", f"is {order.status}, and its payment is {status}")
    elif payment and status == "refunded" and payment.refunded != payment.amount:
        yield Finding(order.id, "I6", f"is {order.status}, and {payment.refunded} of {payment.amount} went back")


def wrong_stock(order: Order, reservation: ReservationState | None) -> Iterator[Finding]:
    """A paid order has its units sold to it; one that ended otherwise has none, or they went back."""
    status = reservation.status if reservation else "absent"
    if order.status in PAID:
        if reservation is None or status != "confirmed":
            yield Finding(order.id, "I6", f"is to be sent, and its reservation is {status}")
        elif _units(reservation.lines) != _units(order.items):
            yield Finding(order.id, "I6", "its reservation is of other units")
    if order.status not in ENDED or (_is_cancelled_lately(order) and not order.restocked):
        return
    if status not in ("absent", "released", "refused", "returned"):
        yield Finding(order.id, "I6", f"is {order.status}, and its reservation is {status}")


def unknown(id: str, payment: PaymentState | None, reservation: ReservationState | None) -> Iterator[Finding]:
    """What others have for an order that there is not."""
    for what, found in (("payment", payment), ("reservation", reservation)):
        if found:
            yield Finding(id, "I6", f"there is no such order, and its {what} is {found.status}")


def _total(order: Order) -> Money:
    return Money.parse(order.total_amount, order.currency)


def _units(lines: Iterable[Line | OrderItem]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.product_id] += line.quantity
    return units


def _is_cancelled_lately(order: Order) -> bool:
    return order.status == "cancelled" and _recent(order)


def _recent(order: Order) -> bool:
    return order.updated_at > clock.timestamp_ago(ARRIVED)


def _exists(order: Order) -> None:
    if not order.status:
        raise NotFound("order")


def _wrong(order: Order, wanted: str) -> DomainError:
    detail = f"An order that is {order.status} cannot be {wanted}."
    return DomainError("wrong_status", "Wrong status", detail, orderStatus=order.status)
