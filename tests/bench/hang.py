"""A hanging service holds up nobody else: the catalog's answers while `payments` stands still under new orders."""

import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from chassis import clock
from tests.system.platform import Client, Shop

ROUNDS = 5
ORDERS = 4.0
"""A second."""
BAR = 1.25
_PRODUCTS, _BUYERS = 20, 8
_SETTLED = 60.0

Product = dict[str, Any]


def run(short: bool) -> list[dict[str, Any]]:
    """Rounds of both, turn by turn: the same orders are placed, and payments answers or hangs."""
    seconds = 1.5 if short else 5.0
    rounds: list[dict[bool, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder), RATE_LIMITS="off")
        try:
            shop.up()
            orders = Orders([shop.shopper() for _ in range(_BUYERS)], [shop.product(10_000) for _ in range(_PRODUCTS)])
            _measured(shop, orders, seconds, hangs=False)
            rounds = [
                {hangs: _measured(shop, orders, seconds, hangs) for hangs in (False, True)} for _ in range(ROUNDS)
            ]
        finally:
            shop.down()
    ratio = statistics.median(found[True] / found[False] for found in rounds)
    return [
        {"name": "catalog, payments answers", "value": statistics.median(f[False] for f in rounds), "unit": "ms"},
        {"name": "catalog, payments hangs", "value": statistics.median(f[True] for f in rounds), "unit": "ms"},
        {"name": "hangs / answers", "value": ratio, "unit": "", "bar": f"<= {BAR}", "ok": ratio <= BAR},
    ]


def _measured(shop: Shop, orders: "Orders", seconds: float, hangs: bool) -> float:
    """The median time of `GET /api/products`, in ms, while orders are placed. When it returns, they are final."""
    reader, over = shop.nobody(), threading.Event()
    took = []
    with ThreadPoolExecutor(1) as pool, shop.frozen("payments") if hangs else nullcontext():
        placing = pool.submit(orders.place, over)
        try:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                begun = time.perf_counter()
                assert reader.get("/api/products").status_code == 200
                took.append((time.perf_counter() - begun) * 1000)
        finally:
            over.set()
        placing.result()
    orders.settle()
    return statistics.median(took)


class Orders:
    """Orders at a steady rate, whatever becomes of them."""

    def __init__(self, buyers: list[Client], products: list[Product]) -> None:
        self._buyers, self._products = buyers, products
        self._accepted: list[tuple[Client, str]] = []

    def place(self, over: threading.Event) -> None:
        """Until it is over."""
        begun, number = time.monotonic(), 0
        with ThreadPoolExecutor(len(self._buyers)) as pool:
            placed = []
            while not over.wait(max(0.0, begun + number / ORDERS - time.monotonic())):
                placed.append(pool.submit(self._one, number))
                number += 1
        for order in placed:
            order.result()

    def settle(self) -> None:
        """Wait until each is final."""
        for buyer, id in self._accepted:
            buyer.final(id, _SETTLED)
        self._accepted.clear()

    def _one(self, number: int) -> None:
        buyer, product = self._buyers[number % len(self._buyers)], self._products[number % len(self._products)]
        answer = buyer.order(product, key=clock.new_id())
        assert answer.status_code in (201, 202), answer.text
        self._accepted.append((buyer, answer.json()["id"]))
