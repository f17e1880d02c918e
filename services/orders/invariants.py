"""What must hold between an order, its saga, the list, its payment and its reservation.

ids: sagas, streams, the list, what payments and inventory have -> one order after the other
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby
from typing import Any

from chassis import calls, clock
from chassis.audit import BATCH, Finding
from chassis.errors import OutcomeUnknown, TransientError
from chassis.events.eventsourcing import fold
from chassis.messages import Command, Event
from chassis.money import Money
from chassis.schema import ID
from chassis.store import Collection, Doc
from services.inventory.messages import Line, ListReservations, ReservationState, GetReservations
from services.orders import domain, projection, repository
from services.orders.checkout import sagas
from services.orders.domain import Order
from services.orders.messages import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderItem,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from services.payments.messages import ListPayments, PaymentState, GetPayments


def order_ids() -> Iterator[str]:
    """Every order that anybody knows of: each of the five is read page by page, in the order of ids."""
    kept = ((doc["_id"] for doc in each.iterate()) for each in (sagas, projection.summaries))
    told = (_pages(command) for command in (ListPayments, ListReservations))
    return (id for id, _ in groupby(merge(repository.streams.stream_ids(), *kept, *told)))


FOLLOWS: dict[type[Event], tuple[str, ...]] = {
    OrderPlaced: ("",),
    domain.CancelRequested: ("pending",),
    OrderConfirmed: ("pending",),
    OrderRejected: ("pending",),
    OrderCancelled: ("pending", "confirmed"),
    OrderShipped: ("confirmed",),
    OrderDelivered: ("shipped",),
    domain.RefundNoted: ("pending", *domain.PAID, *domain.ENDED),
    domain.RestockNoted: ("pending", *domain.PAID, *domain.ENDED),
}
"""Event -> the statuses in which it may come."""


def check_orders(ids: list[str]) -> Iterator[Finding]:
    """What is ours is read first: by the time the others are asked, they have done what it says they did."""
    begun, listed = _by_id(sagas, ids), _by_id(projection.summaries, ids)
    orders: dict[str, Order] = {}
    for id in ids:
        try:
            history = repository.streams.load(id)
            order = fold(domain.NEW, history)
        except (LookupError, ValueError) as error:
            yield Finding(id, "I10", f"its events cannot be read: {type(error).__name__}")
            continue
        versions, sequences = ([getattr(each, name) for each in history] for name in ("version", "sequence"))
        yield from check_history(id, [each.event for each in history], versions, sequences)
        yield from check_saga_outcome(id, order, begun.get(id))
        if order.status and not order.id:
            continue  # a stream that has lost its beginning says nothing more
        yield from check_summary(id, order, projection.summary_of(order), listed.get(id))
        orders[id] = order
    yield from _check_with_others(orders, begun)


EVENTUAL_AFTER_S = 300.0
"""Seconds in which what an event tells has had its effect everywhere."""


def _check_with_others(orders: dict[str, Order], begun: dict[str, Doc]) -> Iterator[Finding]:
    sound = [id for id in orders if ID.fullmatch(id)]
    if not sound:
        return
    payments: dict[str, PaymentState] = _by_order(GetPayments(order_ids=sound))
    reservations: dict[str, ReservationState] = _by_order(GetReservations(order_ids=sound))
    for id, order in orders.items():
        if order.status:
            yield from check_payment(order, payments.get(id))
            yield from check_reservation(order, reservations.get(id))
        elif id not in begun:
            yield from check_unknown_order(id, payments.get(id), reservations.get(id))


DECIDED_AFTER_S = 900.0
"""Seconds in which a checkout has ended, whatever it had to wait for."""


def _by_id(collection: Collection, ids: list[str]) -> dict[str, Doc]:
    return {doc["_id"]: doc for doc in collection.find({"_id": {"$in": ids}}, limit=BATCH)}


def check_history(id: str, events: list[Event], versions: list[int], sequences: list[int]) -> Iterator[Finding]:
    """What cannot be in the stream of an order; of the numbers, an internal event has no sequence (0)."""
    for invariant, name, numbers in (("I10", "versions", versions), ("I8", "public events", sequences)):
        if missing := sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers)):
            yield Finding(id, invariant, f"its {name} lack {', '.join(map(str, missing))}")
    order = domain.NEW
    for event in events:
        if order.status not in FOLLOWS[type(event)]:
            yield Finding(id, "I10", f"{event.type} came while it was {order.status or 'not placed'}")
        order = order.apply(event, "")
    for name, times in Counter(event.type for event in events).items():
        if times > 1:
            yield Finding(id, "I7", f"{name} came {times} times")


def _by_order(command: GetPayments | GetReservations) -> dict[str, Any]:
    return {item.order_id: item for item in _ask(command).items}


def check_saga_outcome(id: str, order: domain.Order, saga: Doc | None) -> Iterator[Finding]:
    """Where order and saga do not agree on how the checkout ended; and one that does not end."""
    if saga is None:
        if order.status:
            yield Finding(id, "I9", "no saga placed it")
    elif saga["open"]:
        if saga["openedAt"] < clock.timestamp_ago(DECIDED_AFTER_S):
            yield Finding(id, "I5", f"its saga is open since {saga['openedAt']}")
    elif order.status in ("", "pending"):
        yield Finding(id, "I5", f"is {order.status or 'not there'}, and its saga has ended")
    elif (saga["ended"] == "done") != bool(order.payment_id):
        yield Finding(id, "I6", f"is {'' if order.payment_id else 'not '}confirmed, and its saga ended {saga['ended']}")


def _pages(command: Callable[..., ListPayments | ListReservations]) -> Iterator[str]:
    after = ""
    while page := _ask(command(after=after)).order_ids:
        yield from page
        after = page[-1]


def check_summary(id: str, order: domain.Order, right: Doc, shown: Doc | None) -> Iterator[Finding]:
    """Where the list shows something else than the events say; a list that is behind catches up by itself."""
    if not order.status:
        if shown:
            yield Finding(id, "I16", "is in the list, and has no events")
    elif (shown is None or shown["version"] < order.version) and _is_recent(order):
        return
    elif shown is None:
        yield Finding(id, "I16", "is not in the list")
    elif wrong := sorted(name for name in right.keys() | shown.keys() if right.get(name) != shown.get(name)):
        yield Finding(id, "I16", f"the list shows another {', '.join(wrong)}")


def _ask(command: Command) -> Any:
    try:
        return calls.send(command)
    except TransientError as error:
        raise OutcomeUnknown(f"{command.service}: {error}") from error


def check_payment(order: domain.Order, payment: PaymentState | None) -> Iterator[Finding]:
    """A paid order has one captured payment of its total; one that ended otherwise has none, or it went back."""
    status = payment.status if payment else "absent"
    if payment and (paid := Money(payment.amount, payment.currency)) != _total(order):
        yield Finding(order.id, "I2", f"costs {_total(order)} {order.currency}, its payment is {paid} {paid.currency}")
    if order.status in domain.PAID and status != "completed":
        yield Finding(order.id, "I6", f"is to be paid for, and its payment is {status}")
    if order.status not in domain.ENDED or (_is_cancelled_lately(order) and not order.refunded):
        return
    if status not in ("absent", "failed", "refunded"):
        yield Finding(order.id, "I6", f"is {order.status}, and its payment is {status}")
    elif payment and status == "refunded" and payment.refunded != payment.amount:
        yield Finding(order.id, "I6", f"is {order.status}, and {payment.refunded} of {payment.amount} went back")


def check_reservation(order: domain.Order, reservation: ReservationState | None) -> Iterator[Finding]:
    """A paid order has its units sold to it; one that ended otherwise has none, or they went back."""
    status = reservation.status if reservation else "absent"
    if order.status in domain.PAID:
        if reservation is None or status != "confirmed":
            yield Finding(order.id, "I6", f"is to be sent, and its reservation is {status}")
        elif _units(reservation.lines) != _units(order.items):
            yield Finding(order.id, "I6", "its reservation is of other units")
    if order.status not in domain.ENDED or (_is_cancelled_lately(order) and not order.restocked):
        return
    if status not in ("absent", "released", "refused", "returned"):
        yield Finding(order.id, "I6", f"is {order.status}, and its reservation is {status}")


def check_unknown_order(
    id: str, payment: PaymentState | None, reservation: ReservationState | None
) -> Iterator[Finding]:
    """What others have for an order that there is not."""
    for what, found in (("payment", payment), ("reservation", reservation)):
        if found:
            yield Finding(id, "I6", f"there is no such order, and its {what} is {found.status}")


def _total(order: domain.Order) -> Money:
    return Money.parse(order.total_amount, order.currency)


def _units(lines: Iterable[Line | OrderItem]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.product_id] += line.quantity
    return units


def _is_cancelled_lately(order: domain.Order) -> bool:
    return order.status == "cancelled" and _is_recent(order)


def _is_recent(order: domain.Order) -> bool:
    return order.updated_at > clock.timestamp_ago(EVENTUAL_AFTER_S)
