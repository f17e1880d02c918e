"""What must hold between an order, its saga, the list, its payment and its reservation.

    order_ids: sagas, streams, the list, payments, reservations -> every order that any of them knows

Rules on one order come first, then the audit that loads what they compare.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby
from typing import Any

from chassis import calls, clock
from chassis.audit import BATCH, Finding, Unreadable
from chassis.calls.outcomes import RequestRejected, UpstreamDefect
from chassis.errors import OutcomeUnknown, TransientError
from chassis.events.eventsourcing import fold
from chassis.messages import Command, Event
from chassis.money import Money, decimal_string
from chassis.sagas.waiting import age_s, is_overdue
from chassis.schema import ID
from chassis.store import Collection, Doc
from services.inventory.messages import GetReservations, Line, ListReservations, ReservationState
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
from services.payments.messages import GetPayments, ListPayments, PaymentState

ALLOWED_STATUSES: dict[type[Event], tuple[str, ...]] = {
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
"""Event -> the statuses of an order in which it may occur."""
CONSISTENT_AFTER_S = 300.0
"""Time in which an event takes effect everywhere."""
DECIDED_AFTER_S = 900.0
"""Time in which a checkout ends, without that in which it waits for its buyer."""


def check_history(id: str, events: list[Event], versions: list[int], sequences: list[int]) -> Iterator[Finding]:
    """Check the stream of an order; the sequence number of an internal event is 0."""
    for invariant, name, numbers in (("I10", "versions", versions), ("I8", "public events", sequences)):
        if missing := sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers)):
            yield Finding(id, invariant, f"its {name} lack {', '.join(map(str, missing))}")
    order = domain.NEW
    for event in events:
        if order.status not in ALLOWED_STATUSES[type(event)]:
            yield Finding(id, "I10", f"{event.type} occurs while the order is {order.status or 'not placed'}")
        order = order.apply(event, "")
    for name, times in Counter(event.type for event in events).items():
        if times > 1:
            yield Finding(id, "I7", f"{name} occurs {times} times")


def check_saga_outcome(id: str, order: Order, saga: Doc | None) -> Iterator[Finding]:
    """Check that the saga ends, and that the order has the outcome of its saga."""
    if saga is None:
        if order.status:
            yield Finding(id, "I9", "has no saga")
    elif saga["open"]:
        if saga.get("waiting") and is_overdue(saga["waiting"]):
            yield Finding(id, "I5", f"its saga waits for the buyer, who had time until {saga['waiting']['until']}")
        elif age_s(saga) > DECIDED_AFTER_S:
            yield Finding(id, "I5", f"its saga is open since {saga['openedAt']}")
    elif order.status in ("", "pending"):
        yield Finding(id, "I5", f"{'is pending' if order.status else 'does not exist'}, but its saga has ended")
    elif (saga["ended"] == "done") != bool(order.payment_id):
        confirmed = "confirmed" if order.payment_id else "not confirmed"
        yield Finding(id, "I6", f"is {confirmed}, but its saga ended {saga['ended']}")


def check_summary(id: str, order: Order, right: Doc, stored: Doc | None) -> Iterator[Finding]:
    """Check that the list shows the order as its events say; a list that lags behind catches up by itself."""
    if not order.status:
        if stored:
            yield Finding(id, "I16", "is in the list, but has no events")
    elif (stored is None or stored["version"] < order.version) and _is_recent(order):
        return
    elif stored is None:
        yield Finding(id, "I16", "is not in the list")
    elif wrong := sorted(name for name in right.keys() | stored.keys() if right.get(name) != stored.get(name)):
        yield Finding(id, "I16", f"differs in the list: {', '.join(wrong)}")


def check_total(order: Order) -> Iterator[Finding]:
    """Check that the total is an amount; a release before 0.3.0 accepted larger ones."""
    try:
        Money.parse(order.total_amount, order.currency)
    except ValueError as error:
        yield Finding(order.id, "I2", f"costs {order.total_amount} {order.currency}: {error}")


def check_payment(order: Order, payment: PaymentState | None) -> Iterator[Finding]:
    """Check that a paid order has one captured payment of its total, and an ended order none, or a refunded one."""
    status = payment.status if payment else "absent"
    total = f"{order.total_amount} {order.currency}"
    if payment and (paid := f"{decimal_string(payment.amount, payment.currency)} {payment.currency}") != total:
        yield Finding(order.id, "I2", f"costs {total}, but its payment is {paid}")
    if order.status in domain.PAID and status != "completed":
        # The text leaves out the status of the order, which may change before the check is repeated.
        yield Finding(order.id, "I6", f"must be paid, but its payment is {status}")
    if order.status not in domain.ENDED or (_is_recently_cancelled(order) and not order.refunded):
        return
    if status not in ("absent", "failed", "refunded"):
        yield Finding(order.id, "I6", f"is {order.status}, but its payment is {status}")
    elif payment and status == "refunded" and payment.refunded != payment.amount:
        refunded = f"{payment.refunded} of {payment.amount}"
        yield Finding(order.id, "I6", f"is {order.status}, but its payment is refunded by {refunded}")


def check_reservation(order: Order, reservation: ReservationState | None) -> Iterator[Finding]:
    """Check that a paid order has its units sold to it, and an ended order none, or returned ones."""
    status = reservation.status if reservation else "absent"
    if order.status in domain.PAID:
        if reservation is None or status != "confirmed":
            yield Finding(order.id, "I6", f"must be delivered, but its reservation is {status}")
        elif _units(reservation.lines) != _units(order.items):
            yield Finding(order.id, "I6", "its reservation has other units than the order")
    if order.status not in domain.ENDED or (_is_recently_cancelled(order) and not order.restocked):
        return
    if status not in ("absent", "released", "refused", "returned"):
        yield Finding(order.id, "I6", f"is {order.status}, but its reservation is {status}")


def check_unknown_order(
    id: str, payment: PaymentState | None, reservation: ReservationState | None
) -> Iterator[Finding]:
    """Check that an order that does not exist has no payment and no reservation."""
    for noun, found in (("payment", payment), ("reservation", reservation)):
        if found:
            yield Finding(id, "I6", f"does not exist, but its {noun} is {found.status}")


def order_ids() -> Iterator[str]:
    """Yield the id of every order that any of the five sources knows; each source is read in the order of ids."""
    stored = ((doc["_id"] for doc in collection.iterate()) for collection in (sagas, projection.summaries))
    remote = (_ids_from(command) for command in (ListPayments, ListReservations))
    return (id for id, _ in groupby(merge(repository.streams.stream_ids(), *stored, *remote)))


def check_orders(ids: list[str]) -> Iterator[Finding]:
    """Check these orders.

    The data of `orders` is read first: when the other services are asked, they have already done what it says they did.
    """
    saga_of, summary_of = _by_id(sagas, ids), _by_id(projection.summaries, ids)
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
        yield from check_saga_outcome(id, order, saga_of.get(id))
        if order.status and not order.id:
            continue  # without its first event there is nothing to compare
        if order.status:
            yield from check_total(order)
        yield from check_summary(id, order, projection.summary_of(order), summary_of.get(id))
        orders[id] = order
    yield from _check_other_services(orders, saga_of)


def _check_other_services(orders: dict[str, Order], saga_of: dict[str, Doc]) -> Iterator[Finding]:
    valid = [id for id in orders if ID.fullmatch(id)]
    if not valid:
        return
    payments: dict[str, PaymentState] = _by_order(GetPayments(order_ids=valid))
    reservations: dict[str, ReservationState] = _by_order(GetReservations(order_ids=valid))
    for id, order in orders.items():
        if order.status:
            yield from check_payment(order, payments.get(id))
            yield from check_reservation(order, reservations.get(id))
        elif id not in saga_of:
            yield from check_unknown_order(id, payments.get(id), reservations.get(id))


def _by_id(collection: Collection, ids: list[str]) -> dict[str, Doc]:
    return {doc["_id"]: doc for doc in collection.find({"_id": {"$in": ids}}, limit=BATCH)}


def _by_order(command: GetPayments | GetReservations) -> dict[str, Any]:
    return {item.order_id: item for item in _send(command).items}


def _ids_from(command: Callable[..., ListPayments | ListReservations]) -> Iterator[str]:
    after = ""
    while page := _send(command(after=after)).order_ids:
        yield from page
        after = page[-1]


def _send(command: Command) -> Any:
    try:
        return calls.send(command)
    except (RequestRejected, UpstreamDefect) as error:  # it is there, and cannot read its data
        raise Unreadable(f"cannot be compared: {error}") from error
    except TransientError as error:
        raise OutcomeUnknown(f"{command.service}: {error}") from error


def _units(lines: Iterable[Line | OrderItem]) -> Counter[str]:
    units: Counter[str] = Counter()
    for line in lines:
        units[line.product_id] += line.quantity
    return units


def _is_recently_cancelled(order: Order) -> bool:
    return order.status == "cancelled" and _is_recent(order)


def _is_recent(order: Order) -> bool:
    return order.updated_at > clock.timestamp_ago(CONSISTENT_AFTER_S)
