"""Metrics of orders and revenue.

The process that commits an event counts it: never twice, however often a step or a request is repeated, and not at all
if the process crashes right after the commit.
"""

from decimal import Decimal

from chassis import clock
from chassis.messages import Event
from chassis.money import digits
from chassis.observe import trace
from chassis.observe.metrics import OUTAGE_BUCKETS_S, counter, histogram
from services.orders.domain import EVENTS, Order

CHECKOUT_BUCKETS_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 10.0, *OUTAGE_BUCKETS_S)
"""Bounds of the histogram; 0.8 s is the service level objective."""
DECISIONS = ("confirmed", "rejected")
"""Outcomes that end a checkout."""
WAITING = "waiting"
"""The buyer has to confirm the payment: all that a checkout can do before that is done."""

orders = counter("orders_total", "Orders by outcome", "outcome")
revenue = counter("orders_revenue_minor_units_total", "Revenue of confirmed orders in minor units", "currency")
duration = histogram(
    "checkout_duration_seconds",
    "Time from placing an order to its confirmation or rejection, or until it waits for the buyer",
    CHECKOUT_BUCKETS_S,
    "outcome",
)


for _event in EVENTS:
    orders[_event.type.removeprefix("order.")].inc(0)  # so that `rate` sees the first of each outcome
for _outcome in (*DECISIONS, WAITING):
    _ = duration[_outcome]


def count(order: Order, event: Event) -> None:
    """Count an event that was just committed, and the time of a decision; `order` is the state after it."""
    count_waited(order, event)
    if event.public and event.type.removeprefix("order.") in DECISIONS:
        _observe(order, event.type.removeprefix("order."))


def count_waited(order: Order, event: Event) -> None:
    """Count an event of an order that waited for its buyer: its time was measured until then."""
    if not event.public:
        return
    outcome = event.type.removeprefix("order.")
    orders[outcome].inc()
    if outcome == "confirmed":
        revenue[order.currency].inc(int(Decimal(order.total_amount).scaleb(digits(order.currency))))


def count_waiting(order: Order) -> None:
    """Count an order that begins to wait for its buyer."""
    _observe(order, WAITING)


def _observe(order: Order, outcome: str) -> None:
    took_s = max(0.0, clock.seconds_since(order.created_at))
    duration[outcome].observe(took_s, trace.exemplar(trace.traceparent()))
