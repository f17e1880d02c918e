"""A busy platform with injected faults under a real Prometheus: alerts fire, and every panel has data.

The tests build on each other and run in order. An alert that takes longer than a minute is evaluated by promtool, on
the series that this Prometheus recorded during the fault.
"""

import math
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from mercato.catalog import catalog, processes
from tests.observability.faults import gone, late, locked, publish
from tests.observability.files import filled, panels, queries
from tests.observability.prometheus import Prometheus
from tests.observability.recorded import Course, Labels, Stage, check, recorded
from tests.observability.screen import red
from tests.system.collector import Collector
from tests.system.platform import Client, Shop, eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.embedded]
SOON = 60.0
"""Time in which these alerts fire."""
STEADY = 10.0
"""Time for which a fault is recorded."""
TEN_TRIES = 150.0
"""Time in which a compensation fails ten times; its backoff alone takes a minute."""
DAY = 24 * 3600
LONGER = (
    "SagaOld",
    "CompensationStuck",
    "ReservationsOverdue",
    "ConsumerLag",
    "ServiceMissing",
    "AvailabilityBudgetBurn",
    "CallsBudgetBurn",
    "CheckoutBudgetBurn",
    "OrdersUndecided",
)
"""Alerts that promtool evaluates."""
Calm = dict[str, dict[str, Course]]
"""Alert -> its recorded series."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Collector() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OPEN_CHECKOUTS": "100", "THREADS": "8"}
        platform = Shop(tmp_path_factory.mktemp("shop"), RESERVATION="8", **settings)
        try:
            yield platform.up()
        finally:
            platform.down()


@pytest.fixture(scope="module")
def prometheus(
    shop: Shop, buyer: Client, product: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    for _ in range(10):  # the first ones of a process take longer
        buyer.buy(product)
    with Prometheus(tmp_path_factory.mktemp("prometheus") / "here", shop) as running:
        yield running


@pytest.fixture(scope="module")
def calm() -> Calm:
    """Return the series of the healthy platform, which the first test records."""
    return {}


@pytest.fixture(scope="module")
def buyer(shop: Shop) -> Client:
    return shop.shopper()


@pytest.fixture(scope="module")
def product(shop: Shop) -> dict[str, Any]:
    return shop.product(stock=1000)


def test_no_alert_fires_on_a_healthy_platform(
    shop: Shop, prometheus: Prometheus, buyer: Client, product: Any, calm: Calm
) -> None:
    expected = {*processes(), ("router", "router")}
    eventually(lambda: {(each["service"], each["process"]) for each, _ in prometheus.ask("up == 1")} == expected)
    assert buyer.order(product, key="once").ok and buyer.order(product, key="once").ok
    for _ in range(20):
        assert buyer.buy(product)["status"] == "confirmed"
    buyer.order(product, paymentToken="tok_declined")
    buyer.order(shop.product(stock=1), quantity=2)
    cancelled = buyer.buy(product)["id"]
    buyer.post(f"/api/orders/{cancelled}/cancel", key="cancel")
    eventually(lambda: prometheus.ask('sum(mercato_orders_total{outcome="confirmed"}) >= 20'))
    eventually(lambda: prometheus.ask("platform:checkouts:rate5m > 0 and platform:checkouts_slow:rate5m >= 0"))
    # A pause of the machine makes some checkouts slow: place more, until the alert is not pending.
    eventually(lambda: buyer.buy(product) and not prometheus.firing() | prometheus.near(), SOON)
    # Processes update these gauges every few seconds: a zero may be older than the last purchase.
    stays(prometheus, "sum(mercato_consumer_lag) + sum(mercato_saga_open) == bool 0")
    calm.update({alert: recorded(prometheus, alert, SOON) for alert in LONGER})


def test_axis_of_a_healthy_platform_is_at_most_twice_its_data(prometheus: Prometheus) -> None:
    for _, panel in panels("timeseries"):
        field = panel["fieldConfig"]["defaults"]
        if field["unit"] == "s" and "_bucket" not in panel["targets"][0]["expr"]:
            continue  # an age or an outage, which may be any fraction of a second
        values = [value for target in panel["targets"] for value in numbers(prometheus, target["expr"])]
        largest = max(values, default=0)
        assert largest == 0 or field["custom"]["axisSoftMax"] <= 2 * largest, panel["title"]


def test_every_rule_is_evaluated_and_names_its_platform(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    for rule in (each for each in rules if each["type"] == "recording" and ":count" not in each["name"]):
        # (a subquery with a step of a minute or five has no value in a younger Prometheus)
        found = [labels for labels, _ in prometheus.ask(rule["name"])]
        assert found and all((each["job"], each["namespace"]) == ("mercato", "mercato") for each in found), rule["name"]
        services = {each["service"] for each in found} if not rule["name"].startswith("platform:") else set()
        assert services <= {*catalog(), "router"}, rule["name"]


def test_dead_letter_raises_a_ticket(shop: Shop, prometheus: Prometheus) -> None:
    publish(shop, "orders", "order.cancelled")
    fires(prometheus, ("DeadLetters", "payments"))
    assert {("Waiting for an operator", ""), ("Services", "payments")} <= red(prometheus)


def test_stalled_outbox_and_hanging_service_page(
    shop: Shop, prometheus: Prometheus, buyer: Client, product: Any, calm: Calm, tmp_path: Path
) -> None:
    expected = {("BusUnavailable", ""), ("BreakerOpen", "orders"), ("TargetDown", "products")}
    assert not prometheus.firing() & expected
    longer = ("AvailabilityBudgetBurn", "CallsBudgetBurn")
    with locked(shop, "bus.db"):
        assert buyer.order(product).ok
        with shop.frozen("products"):
            begun = clock.monotonic()
            eventually(lambda: not buyer.order(product).ok and expected <= prometheus.firing(), SOON)
            assert {("Processes down", ""), ("Services", "products"), ("Circuit breakers", "products")} <= red(
                prometheus
            )
            eventually(lambda: ("OutboxStalled", "orders") in prometheus.firing() | prometheus.near(), SOON)
            fault = {alert: recorded(prometheus, alert, clock.monotonic() - begun) for alert in longer}
    over = "sum(mercato_bus_unavailable_seconds) + sum(1 - up)"  # the alerts fire for some minutes more
    eventually(lambda: prometheus.ask(f"{over} == 0"), SOON)
    eventually(lambda: buyer.order(product).ok)
    burns(tmp_path, "AvailabilityBudgetBurn", calm, fault[longer[0]], service="orders")
    goes_on(tmp_path, "CallsBudgetBurn", calm, fault, labels_of("page", "products"))


def test_slow_checkouts_page(
    shop: Shop, prometheus: Prometheus, buyer: Client, product: Any, calm: Calm, tmp_path: Path
) -> None:
    def order(_: int) -> None:
        Client(buyer.url, buyer.token).order(product)

    begun = clock.monotonic()
    with shop.frozen("payments"), ThreadPoolExecutor(14) as crowd:  # more than may wait for payments at once
        list(crowd.map(order, range(42)))
        during = {"OrdersUndecided": recorded(prometheus, "OrdersUndecided", clock.monotonic() - begun)}
    fault = recorded(prometheus, "CheckoutBudgetBurn", clock.monotonic() - begun)
    burns(tmp_path, "CheckoutBudgetBurn", calm, fault, service="orders")
    goes_on(tmp_path, "OrdersUndecided", calm, during, labels_of("page", "orders"))


def test_crash_looping_worker_raises_a_ticket(shop: Shop, prometheus: Prometheus) -> None:
    restarts = 'changes(process_start_time_seconds{service="notifications", process="worker"}[10m])'
    assert ("PodRestarts", "notifications") not in prometheus.firing()
    for restart in range(1, 4):
        os.killpg(int(shop.process("notifications", "worker")["pid"]), signal.SIGKILL)
        eventually(lambda done=restart: prometheus.ask(f"{restarts} == {done}"), SOON)
    fires(prometheus, ("PodRestarts", "notifications"))


def test_locked_stock_delays_sagas_and_reservations(
    shop: Shop, prometheus: Prometheus, buyer: Client, product: Any, calm: Calm, tmp_path: Path
) -> None:
    with ExitStack() as fault:
        with shop.frozen("payments"):  # until the units are reserved, and no longer
            assert buyer.order(product).status_code == 202
            assert buyer.order(product, paymentToken="tok_declined").status_code == 202
            fault.enter_context(locked(shop, "store/inventory.db"))
        stays(prometheus, 'sum(mercato_saga_oldest_age_seconds{step="confirm stock"})')
        stays(prometheus, "sum(mercato_reservations_overdue)")
        fires(prometheus, ("StoreDown", "inventory"))
        assert {("Firing alerts", "StoreDown"), ("Services", "inventory")} <= red(prometheus)
        stays(prometheus, "sum(mercato_saga_stuck)", TEN_TRIES)
        during = {alert: recorded(prometheus, alert, STEADY) for alert in LONGER}
    eventually(lambda: prometheus.ask("sum(mercato_saga_open) == 0"), SOON)

    for alert in ("CompensationStuck", "SagaOld"):
        goes_on(tmp_path, alert, calm, during, labels_of("page", "orders", saga="checkout"))
    goes_on(tmp_path, "ReservationsOverdue", calm, during, labels_of("page", "inventory"))


def test_consumer_without_store_lags(shop: Shop, prometheus: Prometheus, calm: Calm, tmp_path: Path) -> None:
    with locked(shop, "store/products.db"):
        publish(shop, "inventory", "stock.reserved", 600)
        stays(prometheus, 'sum(mercato_consumer_lag{service="products"}) >= bool 600')
        during = {"ConsumerLag": recorded(prometheus, "ConsumerLag", STEADY)}
    eventually(lambda: prometheus.ask('sum(mercato_consumer_lag{service="products"}) == 0'), SOON)
    goes_on(tmp_path, "ConsumerLag", calm, during, labels_of("ticket", "products", topic="inventory.events"))


def test_missing_worker_pages(shop: Shop, prometheus: Prometheus, calm: Calm, tmp_path: Path) -> None:
    with gone(shop, prometheus, "users", "worker"):
        eventually(lambda: not prometheus.ask('up{service="users", process="worker"}'))
        during = {"ServiceMissing": recorded(prometheus, "ServiceMissing", STEADY)}
    goes_on(tmp_path, "ServiceMissing", calm, during, labels_of("page", "users"))


def test_every_panel_has_data(shop: Shop, prometheus: Prometheus, buyer: Client, product: Any) -> None:
    for _ in range(7):
        shop.guest().post("/api/auth/login", {"email": buyer.email, "password": "wrong"})
    late(shop)
    empty = set(queries())

    def all_exported() -> bool:
        empty.difference_update([query for query in empty if numbers(prometheus, query.expr)])
        return not empty

    with suppress(AssertionError):
        eventually(all_exported)
    assert empty == set()


def test_alerts_name_their_platform(prometheus: Prometheus) -> None:
    fired = [labels for labels, _ in prometheus.ask('last_over_time(ALERTS{alertstate="firing"}[15m])')]
    assert {labels["alertname"] for labels in fired} >= {"DeadLetters", "TargetDown", "BusUnavailable"}
    assert all((labels["job"], labels["namespace"]) == ("mercato", "mercato") for labels in fired)


def test_exemplar_has_a_trace(prometheus: Prometheus) -> None:
    for metric in ("http_server_request_duration_seconds_bucket", "mercato_checkout_duration_seconds_bucket"):
        found = prometheus.traced(metric)
        assert found and all(len(exemplar["labels"]["trace_id"]) == 32 for exemplar in found), metric


def fires(prometheus: Prometheus, alert: tuple[str, str]) -> None:
    eventually(lambda: alert in prometheus.firing(), SOON)


def stays(prometheus: Prometheus, expr: str, within: float = SOON) -> None:
    """Wait until the value has been above 0 for longer than a fault is recorded."""
    seconds = round(STEADY + 2)
    eventually(lambda: prometheus.ask(f"sum_over_time((({expr}) > bool 0)[{seconds}s:1s]) >= {seconds}"), within)


def goes_on(folder: Path, alert: str, calm: Calm, fault: Calm, *firing: Labels) -> None:
    """Check that the alert is silent on a healthy platform, and fires within 15 minutes of its fault."""
    check(folder, alert, Stage(calm[alert], 900), Stage(fault[alert], 900, firing))


def labels_of(severity: str, service: str, **more: str) -> Labels:
    """Return the labels of an alert on a service of this platform."""
    return {"severity": severity, "job": "mercato", "namespace": "mercato", "service": service, **more}


def burns(folder: Path, alert: str, calm: Calm, fault: dict[str, Course], service: str) -> None:
    """Check that three days of the fault raise page and ticket, and that an hour later the ticket remains."""
    page, ticket = (labels_of(severity, service) for severity in ("page", "ticket"))
    good = calm[alert]
    days = (Stage(good, DAY), Stage(fault, 3 * DAY, (page, ticket)), Stage(good, DAY // 24, (ticket,)))
    check(folder, alert, *days, every=600)


def numbers(prometheus: Prometheus, expr: str) -> list[float]:
    """Return the numbers that the query of a panel has now."""
    return [value for _, value in prometheus.ask(filled(expr)) if math.isfinite(value)]
