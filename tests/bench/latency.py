"""Latency of events on an otherwise idle platform, from the commit of an order until its notification is stored."""

import statistics
from datetime import datetime
from typing import Any

from tests import dump
from tests.bench.shop import running_shop
from tests.faults.scenario import Scenario

BAR_MS = 1000.0
ORDERS = 100


def run(short: bool) -> list[dict[str, Any]]:
    """Place orders one after another; return the percentiles. `short` changes nothing."""
    with running_shop() as shop:
        delays_ms = _delays_ms(Scenario(shop, "latency"), ORDERS)
    cuts = statistics.quantiles(delays_ms, n=100)
    return [
        {"name": "commit to notification, p50", "value": cuts[49], "unit": "ms"},
        {
            "name": "commit to notification, p99",
            "value": cuts[98],
            "unit": "ms",
            "bar": f"<= {BAR_MS:g}",
            "goal": True,
            "ok": cuts[98] <= BAR_MS,
        },
    ]


def _delays_ms(scenario: Scenario, orders: int) -> list[float]:
    buyer = scenario.shop.shopper()
    product = scenario.shop.product(stock=orders)
    for _ in range(orders):
        assert buyer.order(product).status_code == 201
    scenario.assert_consistent()
    found = dump.read(scenario.shop.place)
    notifications = found.docs("notifications", "notifications")
    confirmed = found.of("order.confirmed")
    assert len(confirmed) == orders
    return [
        1000 * (_timestamp(notifications[f"{event.key}-{event.sequence}"]["createdAt"]) - _timestamp(event.time))
        for event in confirmed
    ]


def _timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
