"""Use cases of an order."""

from collections.abc import Callable

from chassis.messages import Event
from chassis.observe import trace
from services.orders import domain, metrics, projection, repository
from services.orders.domain import Order


def cancel(id: str, dedup_key: str) -> Order:
    """Cancel a confirmed order, or ask the checkout of a pending one to cancel it. Raises NotFound, WrongStatus."""
    return execute(id, domain.cancel, dedup_key)


def ship(id: str, dedup_key: str) -> Order:
    """Mark an order as shipped. Raises NotFound, WrongStatus."""
    return execute(id, domain.ship, dedup_key)


def deliver(id: str, dedup_key: str) -> Order:
    """Mark an order as delivered. Raises NotFound, WrongStatus."""
    return execute(id, domain.deliver, dedup_key)


def execute(order_id: str, decide: Callable[[Order], Event | None], dedup_key: str = "", waited: bool = False) -> Order:
    """Append the event that `decide` returns, update the order summary, and return the resulting order.

    A repeated call with the same `dedup_key` appends nothing. `waited`: its checkout has waited for the buyer.
    """
    trace.bind(orderId=order_id)
    count = metrics.count_waited if waited else metrics.count
    order = repository.streams.execute(order_id, domain.NEW, decide, dedup_key, count)
    if order.status:  # the order exists
        projection.update_summary(order)
    return order
