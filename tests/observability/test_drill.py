"""Three faults as an operator meets them, at the shipped intervals: how soon the first alert names the service, how
often it pages, what the first screen shows, and whether the commands of the runbook lead to the cause.

`pytest --nightly tests/observability/test_drill.py -s` prints the times. test_live.py has the short form.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from tests.observability.faults import locked, publish
from tests.observability.paging import Labels, Pager
from tests.observability.prometheus import Prometheus
from tests.observability.screen import red
from tests.system.platform import Client, Shop, eventually

pytestmark = [pytest.mark.nightly, pytest.mark.embedded, pytest.mark.timeout(1500)]
INTERVAL_S = 15
"""Of scrapes and rules, as shipped."""
SOON_S = 60.0
"""Time in which the first alert names the service."""
FAULT_S, QUIET_S = 330.0, 600.0
"""How long a fault lasts: longer than any `for`; and how long nobody is paged a second time."""


@dataclass(frozen=True)
class Drill:
    """A fault, what tells it first, and the command of its runbook with the words that name the cause."""

    fault: Callable[[Shop], AbstractContextManager[None]]
    severity: str
    alert: tuple[str, str]
    shown: tuple[str, str]
    command: tuple[str, ...]
    cause: str


@contextmanager
def poison(shop: Shop) -> Iterator[None]:
    """An event that its only consumer cannot read."""
    publish(shop, "inventory", "stock.returned")
    yield


DRILLS = {
    "payments stopped": Drill(
        lambda shop: shop.frozen("payments"),
        "page",
        ("TargetDown", "payments"),
        ("Services", "payments"),
        ("status",),
        "payments web is stopped by a signal",
    ),
    "store of inventory locked": Drill(
        lambda shop: locked(shop, "store/inventory.db"),
        "page",
        ("StoreDown", "inventory"),
        ("Services", "inventory"),
        ("status",),
        "inventory cannot write",
    ),
    "poison event": Drill(
        poison,
        "ticket",
        ("DeadLetters", "orders"),
        ("Waiting for an operator", ""),
        ("dlq", "list"),
        "stock.returned",
    ),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    platform = Shop(tmp_path_factory.mktemp("shop"), RATE_LIMITS="off", OPEN_CHECKOUTS="1000", ACCESS_TOKEN="3600")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture
def traffic(shop: Shop) -> Iterator[None]:
    """Two buyers who order about once per second each."""
    product, stop = shop.product(stock=100_000), threading.Event()

    def buy(buyer: Client) -> None:
        while not stop.wait(1):
            buyer.order(product)

    with ThreadPoolExecutor(2) as pool:
        for buyer in (shop.shopper(), shop.shopper()):
            pool.submit(buy, buyer)
        try:
            yield
        finally:
            stop.set()


@pytest.fixture
def prometheus(shop: Shop, traffic: None, tmp_path: Path) -> Iterator[Prometheus]:
    with Prometheus(tmp_path / "prometheus", shop, interval_s=INTERVAL_S) as running:
        yield running


@pytest.mark.parametrize("name", DRILLS)
def test_fault_is_told_once_and_soon(name: str, shop: Shop, prometheus: Prometheus) -> None:
    drill = DRILLS[name]
    eventually(
        lambda: prometheus.ask("platform:checkouts:rate5m > 0 and platform:checkouts_slow:ratio_rate5m < 0.5"), 180
    )
    assert alerts_of(prometheus) == []
    assert not {title for title, _ in red(prometheus)} & {"Firing alerts", "Processes down", "Circuit breakers"}
    pager, begun = Pager(), clock.monotonic()

    def elapsed() -> float:
        return clock.monotonic() - begun

    def seen() -> list[Labels]:
        found = alerts_of(prometheus)
        pager.see(elapsed(), found)
        return found

    def watch(until_s: float) -> None:
        eventually(lambda: (seen(), elapsed() >= until_s)[1], until_s - elapsed() + 30)

    with drill.fault(shop):
        first = eventually(seen, SOON_S + 30)
        took_s = elapsed()
        assert {(each["alertname"], each["service"], each["severity"]) for each in first} == {
            (*drill.alert, drill.severity)
        }
        assert took_s <= SOON_S
        assert drill.shown in red(prometheus)
        print(f"{name}: {drill.alert[0]} of {drill.alert[1]} after {took_s:.0f} s")
        done = shop.mercato(*drill.command)
        assert drill.cause in done.stdout + done.stderr
        watch(FAULT_S)
    watch(QUIET_S)
    expected = [(drill.alert,)] if drill.severity == "page" else []
    assert [each.alerts for each in pager.pages()] == expected, pager.sent


def alerts_of(prometheus: Prometheus) -> list[Labels]:
    """Return the labels of the firing alerts, without the one that always fires."""
    listed: list[dict[str, Any]] = prometheus.get("alerts")["alerts"]
    firing = [each["labels"] for each in listed if each["state"] == "firing"]
    return [labels for labels in firing if labels["severity"] != "none"]
