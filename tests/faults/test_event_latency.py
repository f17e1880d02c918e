"""How long an event is on its way when nothing else is going on."""

import statistics
from datetime import datetime

import pytest

from tests import dump
from tests.faults.scenario import Scenario

ORDERS = 100


@pytest.mark.embedded  # on engines: the relay's part of `make bench`, alone on the machine
def test_an_event_reaches_its_consumer_within_a_second(steady: Scenario, capsys: pytest.CaptureFixture[str]) -> None:
    buyer = steady.shop.shopper()
    product = steady.shop.product(stock=ORDERS)
    for _ in range(ORDERS):
        assert buyer.order(product).status_code == 201
    steady.assert_consistent()
    found = dump.read(steady.shop.place)
    notifications = found.docs("notifications", "notifications")
    delays = [
        (_moment(notifications[f"{event.key}-{event.sequence}"]["createdAt"]) - _moment(event.time)) * 1000
        for event in found.of("order.confirmed")
    ]
    cuts = statistics.quantiles(delays, n=100)
    with capsys.disabled():
        print(f"\n{len(delays)} events arrived after p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms")
    assert len(delays) == ORDERS
    assert cuts[98] <= 1000


def _moment(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()
