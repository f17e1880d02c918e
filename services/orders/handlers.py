"""Orders: placed through the checkout saga, cancelled, shipped, delivered."""

from chassis import calls, clock
from chassis.errors import DomainError
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.settings import settings
from chassis.store import Doc, Duplicate
from services.inventory.messages import StockReturned
from services.orders import checkout, domain, views
from services.orders.domain import Order
from services.payments.messages import PaymentRefunded
from services.products.messages import PriceItems


def place(id: str, user: str, wanted: dict[str, int], payment_token: str) -> Order:
    """Place an order and take it as far as time allows; still pending, the worker goes on with it.

    Raises InvalidInput, DomainError `too_many_open`, and the DomainError of the saga with the `orderId` of the order that is
    rejected. Opening the saga is the one write that accepts the order; the prices are those of the catalogue at that
    moment. A repetition does not drive: the request that opened the saga may still be at it, under the same fence.
    """
    saga = checkout.sagas.get(id) or _driven(id, user, wanted, payment_token)
    if saga["ended"] == "undone":
        why = saga["reason"]
        raise DomainError(why["kind"], why["title"], why["detail"], **{**why["extra"], "orderId": id})
    return _placed(id, saga)


def cancel(id: str, mark: str) -> Order:
    """Cancel, or ask the checkout that is under way to. Raises NotFound, DomainError `wrong_status`."""
    return views.decide(id, domain.cancel, mark)


def ship(id: str, mark: str) -> Order:
    return views.decide(id, domain.ship, mark)


def deliver(id: str, mark: str) -> Order:
    return views.decide(id, domain.deliver, mark)


def note_refund(event: PaymentRefunded, meta: Meta) -> None:
    views.decide(event.order_id, domain.note_refund)


def note_restock(event: StockReturned, meta: Meta) -> None:
    views.decide(event.order_id, domain.note_restock)


def show(event: Event, meta: Meta) -> None:
    """Bring the list up to one of our own events, in case the process that committed it could not."""
    views.project(event.subject)


def _driven(id: str, user: str, wanted: dict[str, int], payment_token: str) -> Doc:
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
    saga, opened = _opened(id, user, data)
    left = settings().checkout_deadline - (clock.monotonic() - began)
    return checkout.driver.drive(saga, max(0.0, left)) if opened else saga


def _opened(id: str, user: str, data: Doc) -> tuple[Doc, bool]:
    """The saga, opened now or (False) before. A user has so many slots, so that nobody can reserve everything."""
    slots = [f"{user} {number}" for number in range(settings().open_checkouts)]
    for slot in slots if settings().rate_limits == "on" else [id]:
        try:
            return checkout.driver.open(id, data, slot), True
        except Duplicate:
            if found := checkout.sagas.get(id):
                return found, False
    raise DomainError("too_many_open", "Too many open checkouts", "Wait until one of your orders is decided.")


def _placed(id: str, saga: Doc) -> Order:
    """The order as it stands. Who is told of it must find it, so its first commit is made here at the latest."""
    checkout.place(saga["data"])
    return views.get(id)
