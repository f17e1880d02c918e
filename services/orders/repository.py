"""The event streams of orders."""

from chassis.errors import NotFound
from chassis.events.eventsourcing import Streams, fold
from chassis.observe import trace
from services.orders import domain
from services.orders.domain import Order

streams = Streams("streams", *domain.EVENTS, *domain.INTERNAL)


def get(id: str) -> Order:
    """Fold the events of an order. Raises NotFound."""
    trace.bind(orderId=id)
    order = fold(domain.NEW, streams.load(id))
    if not order.status:
        raise NotFound("order")
    return order
