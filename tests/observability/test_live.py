"""A platform that sells and is hurt, under a real Prometheus: alerts fire for their faults, and every panel has data.

The tests are one story, told from its beginning to its end. Left to promtool alone (tests/observability/rules) are the
alerts that take longer than a minute: SagaOld, CompensationStuck, ReservationsOverdue, ConsumerLag, ServiceMissing, and
the tickets of three days.
"""

import math
import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import requests

from chassis import clock
from chassis.bus import Record
from chassis.calls.tokens import ServiceTokens
from chassis.catalog import catalog
from services.payments.messages import CancelPayment
from tests.observability.files import metrics, queries
from tests.observability.prometheus import Prometheus
from tests.system.collector import Collector
from tests.system.platform import Client, Shop, eventually

pytestmark = [pytest.mark.timeout(300), pytest.mark.embedded]
SOON = 60.0
"""Seconds within which these alerts fire."""
NEVER = {
    "http_client_fallbacks_total": "no service asks another for anything that may be stale",
    "retry_budget_exhausted_total": "it takes minutes in which a third of the calls fail; of more, a breaker opens",
}
"""What none of these faults brings about -> why."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Collector() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OPEN_CHECKOUTS": "100", "THREADS": "8"}
        platform = Shop(tmp_path_factory.mktemp("shop"), **settings)
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
def buyer(shop: Shop) -> Client:
    return shop.shopper()


@pytest.fixture(scope="module")
def product(shop: Shop) -> dict[str, Any]:
    return shop.product(stock=1000)


def test_nothing_fires_while_all_is_well(shop: Shop, prometheus: Prometheus, buyer: Client, product: Any) -> None:
    seen = eventually(lambda: found if len(found := prometheus.ask("up == 1")) == 2 * len(catalog()) else None)
    assert {(labels["service"], labels["process"]) for labels, _ in seen} == {
        (name, process) for name in catalog() for process in ("web", "worker")
    }
    assert buyer.order(product, key="once").ok and buyer.order(product, key="once").ok
    for _ in range(20):
        assert buyer.buy(product)["status"] == "confirmed"
    buyer.order(product, paymentToken="tok_declined")
    buyer.order(shop.product(stock=1), quantity=2)
    cancelled = buyer.buy(product)["id"]
    buyer.post(f"/api/orders/{cancelled}/cancel", key="cancel")
    eventually(lambda: prometheus.ask('sum(orders_total{outcome="confirmed"}) >= 20'))
    eventually(lambda: prometheus.ask("platform:checkouts:rate5m > 0 and platform:checkouts_slow:rate5m >= 0"))
    # A machine that stands still for a moment makes some checkouts slow: more of them then, which are not.
    eventually(lambda: buyer.buy(product) and not prometheus.firing() | prometheus.near(), SOON)


def test_a_poison_event_is_a_ticket(shop: Shop, prometheus: Prometheus) -> None:
    key = clock.new_id()
    headers = {"ce_specversion": "1.0", "ce_id": f"{key}:1", "ce_source": "orders", "ce_type": "order.cancelled"}
    headers |= {"ce_time": clock.timestamp(), "ce_subject": key, "ce_sequence": "1", "content-type": "application/json"}
    with closing(shop.bus()) as bus:
        assert bus.publish([Record("orders.events", key, b'{"orderId": 7}', headers)], timeout=5) == [None]
    fires(prometheus, ("DeadLetters", "payments"))


def test_a_relay_that_cannot_publish_and_a_service_that_stands_still_are_pages(
    shop: Shop, prometheus: Prometheus, buyer: Client, product: Any
) -> None:
    expected = {
        ("OutboxStalled", "orders"),
        ("AvailabilityBudgetBurn", "orders"),
        ("BreakerOpen", "orders"),
        ("TargetDown", "products"),
    }
    assert not prometheus.firing() & expected
    with locked(shop):
        assert buyer.order(product).ok
        with shop.frozen("products"):
            eventually(lambda: not buyer.order(product).ok and expected <= prometheus.firing(), SOON)
    over = {("OutboxStalled", "orders"), ("TargetDown", "products")}
    eventually(lambda: not prometheus.firing() & over, SOON)
    eventually(lambda: buyer.order(product).ok)


def test_slow_checkouts_are_a_page(shop: Shop, prometheus: Prometheus, buyer: Client, product: Any) -> None:
    assert ("CheckoutBudgetBurn", "") not in prometheus.firing()

    def order(_: int) -> None:
        Client(buyer.url, buyer.token).order(product)

    with shop.frozen("payments"), ThreadPoolExecutor(14) as crowd:  # more than may wait for payments at once
        list(crowd.map(order, range(42)))
    fires(prometheus, ("CheckoutBudgetBurn", ""))


def test_a_worker_that_dies_again_and_again_is_a_ticket(shop: Shop, prometheus: Prometheus) -> None:
    restarts = 'changes(process_start_time_seconds{service="notifications", process="worker"}[10m])'
    assert ("PodRestarts", "notifications") not in prometheus.firing()
    for restart in range(1, 4):
        os.killpg(int(shop.process("notifications", "worker")["pid"]), signal.SIGKILL)
        eventually(lambda done=restart: prometheus.ask(f"{restarts} == {done}"), SOON)
    fires(prometheus, ("PodRestarts", "notifications"))


def test_every_panel_has_data(shop: Shop, prometheus: Prometheus, buyer: Client, product: Any) -> None:
    for _ in range(7):
        shop.nobody().post("/api/auth/login", {"email": buyer.email, "password": "wrong"})
    late(shop)
    empty = {query for query in queries() if not (metrics(query.expr) & NEVER.keys())}

    def told() -> bool:
        empty.difference_update([query for query in empty if has_data(prometheus, query.expr)])
        return not empty

    with suppress(AssertionError):
        eventually(told)
    assert empty == set()


def test_a_dot_on_a_panel_leads_to_a_trace(prometheus: Prometheus) -> None:
    for metric in ("http_server_request_duration_seconds_bucket", "checkout_duration_seconds_bucket"):
        found = prometheus.traced(metric)
        assert found and all(len(exemplar["labels"]["trace_id"]) == 32 for exemplar in found), metric


def fires(prometheus: Prometheus, alert: tuple[str, str]) -> None:
    eventually(lambda: alert in prometheus.firing(), SOON)


def late(shop: Shop) -> None:
    """A call that came with so little time that it was over before the work began."""
    token = ServiceTokens("orders", (shop.data / "secret").read_text().strip(), frozenset()).for_callee("payments")
    address = f"{shop.at('payments')}/internal/{CancelPayment.name}"

    def answered(milliseconds: int) -> int:
        headers = {"Authorization": f"Bearer {token}", "X-Deadline-Ms": str(milliseconds)}
        return requests.post(address, json={"orderId": clock.new_id()}, headers=headers, timeout=5).status_code

    eventually(lambda: any(answered(milliseconds) == 504 for milliseconds in range(1, 10)))


def has_data(prometheus: Prometheus, expr: str) -> bool:
    """Whether the query has a number for at least one value of its variables."""
    expr = expr.replace("$__rate_interval", "5m").replace("$__range", "15m")
    filled = {expr.replace("$service", name) for name in catalog()}
    return any(math.isfinite(value) for each in filled for _, value in prometheus.ask(each))


@contextmanager
def locked(shop: Shop) -> Iterator[None]:
    """Let nobody else write to the log."""
    with closing(sqlite3.connect(shop.data / "bus.db", isolation_level=None, timeout=20)) as bus:
        bus.execute("BEGIN IMMEDIATE")
        yield
        bus.execute("ROLLBACK")
