"""Pods are deleted and killed while clients shop: no order is lost, and each is paid once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from chassis import clock
from tests.cluster import kube
from tests.system.platform import Front, eventually, expect

pytestmark = pytest.mark.timeout(900)
BUYERS = 3
ORDERS_BETWEEN = 8
"""Orders placed between two kills."""
TIMEOUT_S = 120.0
"""An order gets its response and is final within this time, whatever is down."""


class Buyer:
    """A client that retries each order under one key until it is accepted."""

    def __init__(self, shop: Front, product: dict[str, Any]) -> None:
        self._product, self._client = product, shop.shopper()
        self.orders: list[str] = []

    def shop(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            key = clock.new_id()
            order = eventually(lambda key=key: self._place_order(key), TIMEOUT_S)
            self.orders.append(order["id"])

    def final_statuses(self) -> dict[str, str]:
        """Return order id -> final status."""
        return {id: self._client.final_order(id, TIMEOUT_S)["status"] for id in self.orders}

    def listed(self) -> list[str]:
        """Return the ids of the orders that the platform lists for this buyer."""
        return [order["id"] for order in self._client.items("/api/orders")]

    def payment_status(self, order: str) -> str:
        return str(expect(self._client.get(f"/api/payments/{order}"), 200)["status"])

    def _place_order(self, key: str) -> dict[str, Any] | None:
        try:
            response = self._client.order(self._product, key=key)
        except requests.RequestException:
            return None
        return response.json() if response.status_code in (201, 202) else None


def test_every_order_is_kept_and_paid_once_when_pods_die(shop: Front) -> None:
    product = shop.product(stock=100_000)
    buyers = [Buyer(shop, product) for _ in range(BUYERS)]
    stopped = threading.Event()

    def placed() -> int:
        return sum(len(buyer.orders) for buyer in buyers)

    def wait_for_orders() -> None:
        target = placed() + ORDERS_BETWEEN
        eventually(lambda: placed() >= target, TIMEOUT_S)

    with ThreadPoolExecutor(BUYERS) as pool:
        futures = [pool.submit(buyer.shop, stopped) for buyer in buyers]
        try:
            for terminate, kind, name in DEATHS:
                wait_for_orders()
                terminate(name)
                kube.wait_until_ready(kind, name)
            wait_for_orders()
        finally:
            stopped.set()
    for future in futures:
        future.result()

    for buyer in buyers:
        assert set(buyer.final_statuses().values()) == {"confirmed"}
        assert sorted(buyer.listed()) == sorted(buyer.orders)
        assert {buyer.payment_status(order) for order in buyer.orders} == {"completed"}
    count = placed()
    assert eventually(lambda: shop.stock(product) == (100_000 - count, 0, count), TIMEOUT_S)
    print(f"{count} orders, {len(DEATHS)} deaths")


def delete(name: str) -> None:
    """Delete its pod with the usual grace period."""
    kube.kubectl("delete", "pod", *kube.pods(**labels(name)), "--wait=false")


def kill(name: str) -> None:
    """Delete its pod without grace period."""
    for pod in kube.pods(**labels(name)):
        kube.kill(pod)
        kube.kubectl("wait", "--for=delete", f"pod/{pod}", "--timeout=60s", check=False)


def labels(name: str) -> dict[str, str]:
    service, _, worker = name.partition("-")
    return {"name": service} if service in ENGINES else {"name": service, "component": worker or "web"}


ENGINES = ("mongodb", "kafka")
DEATHS = (
    (delete, "deployment", "orders"),
    (kill, "deployment", "orders-worker"),
    (kill, "deployment", "inventory"),
    (kill, "deployment", "payments-worker"),
    (kill, "statefulset", "mongodb"),
    (kill, "statefulset", "kafka"),
    (delete, "deployment", "payments"),
)
