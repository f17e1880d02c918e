"""Pods are deleted, and killed without a word, while people shop: no order is lost, and each is paid once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from chassis import clock
from tests.cluster import kube
from tests.system.platform import Front, eventually, expect

pytestmark = pytest.mark.timeout(900)
BUYERS, AFTER = 3, 8
"""Orders that are placed between two deaths."""
PATIENCE = 120.0
"""Seconds in which an order is answered and final, whatever is dead."""


class Buyer:
    """Orders under keys of its own, each asked for again until it is answered."""

    def __init__(self, shop: Front, product: dict[str, Any]) -> None:
        self._product, self._client = product, shop.shopper()
        self.orders: list[str] = []

    def shop(self, over: threading.Event) -> None:
        while not over.is_set():
            key = clock.new_id()
            answer = eventually(lambda key=key: self._ask(key), PATIENCE)
            self.orders.append(answer["id"])

    def finals(self) -> dict[str, str]:
        """Order -> what became of it."""
        return {id: self._client.final(id, PATIENCE)["status"] for id in self.orders}

    def known(self) -> list[str]:
        """The orders that the platform says it has of this buyer."""
        return [order["id"] for order in self._client.items("/api/orders")]

    def paid(self, order: str) -> str:
        return str(expect(self._client.get(f"/api/payments/{order}"), 200)["status"])

    def _ask(self, key: str) -> dict[str, Any] | None:
        try:
            answer = self._client.order(self._product, key=key)
        except requests.RequestException:
            return None
        return answer.json() if answer.status_code in (201, 202) else None


def test_whoever_dies_every_order_is_kept_and_paid_once(shop: Front) -> None:
    product = shop.product(stock=100_000)
    buyers = [Buyer(shop, product) for _ in range(BUYERS)]
    over = threading.Event()

    def placed() -> int:
        return sum(len(buyer.orders) for buyer in buyers)

    def some_more() -> None:
        target = placed() + AFTER
        eventually(lambda: placed() >= target, PATIENCE)

    with ThreadPoolExecutor(BUYERS) as pool:
        ends = [pool.submit(buyer.shop, over) for buyer in buyers]
        try:
            for what, kind, name in DEATHS:
                some_more()
                what(name)
                kube.ready(kind, name)
            some_more()
        finally:
            over.set()
    for end in ends:
        end.result()

    for buyer in buyers:
        assert set(buyer.finals().values()) == {"confirmed"}
        assert sorted(buyer.known()) == sorted(buyer.orders)
        assert {buyer.paid(order) for order in buyer.orders} == {"completed"}
    count = placed()
    assert eventually(lambda: shop.stock(product) == (100_000 - count, 0, count), PATIENCE)
    print(f"{count} orders, {len(DEATHS)} deaths")


def delete(name: str) -> None:
    """Its pod is told to end."""
    kube.kubectl("delete", "pod", *kube.pods(**labels(name)), "--wait=false")


def kill(name: str) -> None:
    """Its pod is not even told."""
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
