"""Clients that shop during faults: each order has a key of its own and is retried until the response is definite.

They pay with every kind of token, cancel, have orders shipped, repeat keys, and read their orders. Each is one thread
with a random generator of its own, made from the seed.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

from chassis import clock
from tests.faults.scenario import Product, Scenario
from tests.system.platform import Client

CLIENTS = 3
RESPONSE_TIMEOUT_S = 90.0
"""A client gets a definite response within this time, whatever is broken."""
TOKENS = {
    "tok_ok": 60,
    "tok_declined": 10,
    "tok_insufficient_funds": 5,
    "tok_slow": 10,
    "tok_timeout": 5,
    "tok_error": 10,
}
"""Payment token -> its weight."""
SCARCE, PLENTY = 12, 1_000_000
MAX_REMEMBERED_ORDERS = 50


class Load:
    """A load of at least `orders` orders, spread over `seconds`; it goes on until `running` ends."""

    def __init__(self, scenario: Scenario, seed: int, orders: int, seconds: float) -> None:
        self.products = [scenario.shop.product(stock=stock) for stock in (SCARCE, PLENTY, PLENTY, PLENTY)]
        self.shoppers = [Shopper(scenario, Random(f"{seed}/{number}"), self.products) for number in range(CLIENTS)]
        self._orders_per_client = -(-orders // CLIENTS)
        self._pause_s = seconds / self._orders_per_client
        self._stopped = threading.Event()

    @property
    def placed(self) -> int:
        return sum(shopper.placed for shopper in self.shoppers)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the clients; at the end, wait until they have placed their orders, and raise what went wrong."""
        with ThreadPoolExecutor(CLIENTS, thread_name_prefix="shopper") as pool:
            futures: list[Future[None]] = [pool.submit(self._shop, shopper) for shopper in self.shoppers]
            try:
                yield
            except BaseException:
                self._orders_per_client = 0
                raise
            finally:
                self._stopped.set()
        for future in futures:
            future.result()

    def _shop(self, shopper: "Shopper") -> None:
        while not self._stopped.is_set() or shopper.placed < self._orders_per_client:
            shopper.shop_once()
            self._stopped.wait(self._pause_s * shopper.random.uniform(0.5, 1.5))


class Shopper:
    """A buyer with two connections: one as the buyer, one as the administrator who ships."""

    def __init__(self, scenario: Scenario, random: Random, products: list[Product]) -> None:
        self.scenario, self.random, self.placed = scenario, random, 0
        self._products = products
        self.buyer = scenario.shop.shopper()
        self.admin = Client(scenario.shop.url, scenario.shop.admin().token)
        self._orders: list[str] = []

    @property
    def abundant_product(self) -> Product:
        """A product that never sells out."""
        return self._products[-1]

    def shop_once(self) -> None:
        """Buy something, perhaps change the order, and read an order."""
        order = self._buy()
        self.placed += 1
        if order:
            self._orders = [*self._orders, order][-MAX_REMEMBERED_ORDERS:]
            action = self.random.random()
            if action < 0.2:
                self._change(self.buyer, order, "cancel")
            elif action < 0.4:
                self._change(self.admin, order, "ship")
                if action < 0.3:
                    self._change(self.admin, order, "deliver")
        self.read_an_order()

    def read_an_order(self) -> None:
        """Read one of the latest orders, once."""
        if self._orders:
            order = self.random.choice(self._orders)
            self.scenario.send_once("read", "", lambda: self.buyer.get(f"/api/orders/{order}"), order)

    def read_all_orders(self) -> None:
        """Read each of the latest orders until there is a definite response."""
        for order in self._orders:
            self.scenario.retry_until_answered(
                lambda _, path=f"/api/orders/{order}": self.buyer.get(path),
                "read",
                RESPONSE_TIMEOUT_S,
                order,
            )

    def _buy(self) -> str:
        """Return the id of the order, "" if it was rejected."""
        products = self.random.sample(self._products, self.random.choice((1, 1, 2)))
        items = [{"productId": product["id"], "quantity": self.random.randint(1, 3)} for product in products]
        token = self.random.choices(list(TOKENS), list(TOKENS.values()))[0]
        body: dict[str, Any] = {"items": items, "paymentToken": token}
        key = clock.new_id()
        response = self.scenario.retry_until_answered(
            lambda _: self.buyer.post("/api/orders", body, key=key), "order", RESPONSE_TIMEOUT_S, key=key
        )
        assert response.status_code in (201, 202, 402, 409), response.text
        if self.random.random() < 0.2:
            self.scenario.send_once("order", key, lambda: self.buyer.post("/api/orders", body, key=key))
            other = {**body, "paymentToken": "tok_other"}
            self.scenario.send_once(
                "order with other body", key, lambda: self.buyer.post("/api/orders", other, key=key)
            )
        return str(response.json()["id"]) if response.ok else ""

    def _change(self, client: Client, order: str, action: str) -> None:
        """Cancel, ship or deliver; 409 means that the order's status forbids it."""
        path = f"/api/orders/{order}/{action}"
        response = self.scenario.retry_until_answered(
            lambda key: client.post(path, key=key), action, RESPONSE_TIMEOUT_S, order
        )
        assert response.status_code in (200, 202, 409), response.text
