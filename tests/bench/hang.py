"""Isolation: response times of the catalog while `payments` hangs under new orders."""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

from chassis import clock
from tests.bench.shop import running_shop
from tests.system.platform import Client, Shop

ROUNDS = 5
ORDERS_PER_S = 4.0
MAX_RATIO = 1.25
_PRODUCTS, _BUYERS = 20, 8
_FINAL_TIMEOUT_S = 60.0

Product = dict[str, Any]


def run(short: bool) -> list[dict[str, Any]]:
    """Measure in turn: the same orders are placed while payments responds, and while it hangs."""
    seconds = 1.5 if short else 5.0
    rounds: list[dict[bool, float]] = []
    with running_shop() as shop:
        orders = Orders([shop.shopper() for _ in range(_BUYERS)], [shop.product(10_000) for _ in range(_PRODUCTS)])
        _measure(shop, orders, seconds, hangs=False)
        rounds = [{hangs: _measure(shop, orders, seconds, hangs) for hangs in (False, True)} for _ in range(ROUNDS)]
    ratio = statistics.median(found[True] / found[False] for found in rounds)
    return [
        {"name": "catalog, payments responds", "value": statistics.median(f[False] for f in rounds), "unit": "ms"},
        {"name": "catalog, payments hangs", "value": statistics.median(f[True] for f in rounds), "unit": "ms"},
        {"name": "hangs / responds", "value": ratio, "unit": "", "bar": f"<= {MAX_RATIO}", "ok": ratio <= MAX_RATIO},
    ]


def _measure(shop: Shop, orders: "Orders", seconds: float, hangs: bool) -> float:
    """Return the median time of `GET /api/products`, in ms, while orders are placed; then wait until they are final."""
    reader, stopped = shop.guest(), threading.Event()
    took = []
    with ThreadPoolExecutor(1) as pool, shop.frozen("payments") if hangs else nullcontext():
        placing = pool.submit(orders.place, stopped)
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                begun = time.perf_counter()
                assert reader.get("/api/products").status_code == 200
                took.append((time.perf_counter() - begun) * 1000)
        finally:
            stopped.set()
        placing.result()
    orders.wait_until_final()
    return statistics.median(took)


class Orders:
    """Orders at a constant rate (open loop)."""

    def __init__(self, buyers: list[Client], products: list[Product], token: str = "tok_ok") -> None:
        self._buyers, self._products, self._token = buyers, products, token
        self._accepted: list[tuple[Client, str]] = []

    def place(self, stopped: threading.Event) -> None:
        """Place orders until `stopped` is set."""
        begun, number = time.monotonic(), 0
        with ThreadPoolExecutor(len(self._buyers)) as pool:
            placed = []
            while not stopped.wait(max(0.0, begun + number / ORDERS_PER_S - time.monotonic())):
                placed.append(pool.submit(self._place_one, number))
                number += 1
        for order in placed:
            order.result()

    def wait_until_final(self) -> None:
        for buyer, id in self._accepted:
            buyer.final_order(id, _FINAL_TIMEOUT_S)
        self._accepted.clear()

    def _place_one(self, number: int) -> None:
        buyer, product = self._buyers[number % len(self._buyers)], self._products[number % len(self._products)]
        response = buyer.order(product, key=clock.new_id(), paymentToken=self._token)
        assert response.status_code in (201, 202), response.text
        self._accepted.append((buyer, response.json()["id"]))
