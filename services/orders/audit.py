"""Whether each order agrees with its saga, the list, its payment and its reservation.

ids: sagas, streams, the list, what payments and inventory have -> one order after the other
"""

from collections.abc import Callable, Iterator
from heapq import merge
from itertools import groupby
from typing import Any

from chassis import calls
from chassis.audit import BATCH, Finding
from chassis.errors import OutcomeUnknown, TransientError
from chassis.events.eventsourcing import fold
from chassis.messages import Command
from chassis.schema import ID
from chassis.store import Collection, Doc
from services.inventory.messages import ListReservations, ReservationState, TellReservations
from services.orders import domain, views
from services.orders.checkout import sagas
from services.orders.domain import Order
from services.payments.messages import ListPayments, PaymentState, TellPayments


def ids() -> Iterator[str]:
    """Every order that anybody knows of: each of the five is read page by page, in the order of ids."""
    kept = ((doc["_id"] for doc in each.iterate()) for each in (sagas, views.summaries))
    told = (_paged(command) for command in (ListPayments, ListReservations))
    return (id for id, _ in groupby(merge(views.streams.streams(), *kept, *told)))


def judge(ids: list[str]) -> Iterator[Finding]:
    """What is ours is read first: by the time the others are asked, they have done what it says they did."""
    begun, listed = _found(sagas, ids), _found(views.summaries, ids)
    orders: dict[str, Order] = {}
    for id in ids:
        try:
            history = views.streams.load(id)
            order = fold(domain.NEW, history)
        except (LookupError, ValueError) as error:
            yield Finding(id, "I10", f"its events cannot be read: {type(error).__name__}")
            continue
        versions, sequences = ([getattr(each, name) for each in history] for name in ("version", "sequence"))
        yield from domain.wrong_history(id, [each.event for each in history], versions, sequences)
        yield from domain.wrong_end(id, order, begun.get(id))
        if order.status and not order.id:
            continue  # a stream that has lost its beginning says nothing more
        yield from domain.wrong_list(id, order, views.summary_of(order), listed.get(id))
        orders[id] = order
    yield from _judge_others(orders, begun)


def _judge_others(orders: dict[str, Order], begun: dict[str, Doc]) -> Iterator[Finding]:
    sound = [id for id in orders if ID.fullmatch(id)]
    if not sound:
        return
    payments: dict[str, PaymentState] = _told(TellPayments(order_ids=sound))
    reservations: dict[str, ReservationState] = _told(TellReservations(order_ids=sound))
    for id, order in orders.items():
        if order.status:
            yield from domain.wrong_money(order, payments.get(id))
            yield from domain.wrong_stock(order, reservations.get(id))
        elif id not in begun:
            yield from domain.unknown(id, payments.get(id), reservations.get(id))


def _found(collection: Collection, ids: list[str]) -> dict[str, Doc]:
    return {doc["_id"]: doc for doc in collection.find({"_id": {"$in": ids}}, limit=BATCH)}


def _told(command: TellPayments | TellReservations) -> dict[str, Any]:
    return {item.order_id: item for item in _asked(command).items}


def _paged(command: Callable[..., ListPayments | ListReservations]) -> Iterator[str]:
    after = ""
    while page := _asked(command(after=after)).order_ids:
        yield from page
        after = page[-1]


def _asked(command: Command) -> Any:
    try:
        return calls.send(command)
    except TransientError as error:
        raise OutcomeUnknown(f"{command.service}: {error}") from error
