"""Use cases of an order after it is placed."""

from collections.abc import Callable

from chassis.messages import Event
from chassis.observe import trace
from services.orders import domain, metrics, projection, repository
from services.orders.domain import Order


def cancel(id: str, dedup_key: str) -> Order:
    """Cancel a confirmed order, or ask the checkout of a pending one to cancel it. Raises NotFound, WrongStatus."""
    return decide(id, domain.cancel, dedup_key)


def ship(id: str, dedup_key: str) -> Order:
    """Mark an order as shipped. Raises NotFound, WrongStatus."""
    return decide(id, domain.ship, dedup_key)


def deliver(id: str, dedup_key: str) -> Order:
    """Mark an order as delivered. Raises NotFound, WrongStatus."""
    return decide(id, domain.deliver, dedup_key)


def decide(id: str, decision: Callable[[Order], Event | None], dedup_key: str = "") -> Order:
    """Append the event of a decision to the stream of an order, update the list, and return the order as it is then.

    With a `dedup_key`, a repeated decision appends nothing.
    """
    trace.bind(orderId=id)
    order = repository.streams.execute(id, domain.NEW, decision, dedup_key, metrics.count)
    if order.status:
        projection.update_summary(order)
    return order
