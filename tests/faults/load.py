"""Clients that shop while everything breaks: each order under a key of its own, asked again until it is answered.

They pay with every kind of token, cancel, have orders shipped, repeat keys, and look again and again at what they
bought. Each is one thread with a randomness of its own, made of the seed.
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
PATIENCE = 90.0
"""Seconds in which a client gets an answer, whatever is broken."""
TOKENS = {
    "tok_ok": 60,
    "tok_declined": 10,
    "tok_insufficient_funds": 5,
    "tok_slow": 10,
    "tok_timeout": 5,
    "tok_error": 10,
}
"""Payment token -> how often, of a hundred."""
SCARCE, PLENTY = 12, 1_000_000
KEPT = 50


class Load:
    """`orders` in all at least, spread over `seconds`; it goes on for as long as it is left running."""

    def __init__(self, scenario: Scenario, seed: int, orders: int, seconds: float) -> None:
        self.products = [scenario.shop.product(stock=stock) for stock in (SCARCE, PLENTY, PLENTY, PLENTY)]
        self.shoppers = [Shopper(scenario, Random(f"{seed}/{number}"), self.products) for number in range(CLIENTS)]
        self._each = -(-orders // CLIENTS)
        self._pause = seconds / self._each
        self._over = threading.Event()

    @property
    def placed(self) -> int:
        return sum(shopper.placed for shopper in self.shoppers)

    @contextmanager
    def running(self) -> Iterator[None]:
        """They shop inside; at its end they place what is left, and what went wrong for one of them is raised."""
        with ThreadPoolExecutor(CLIENTS, thread_name_prefix="shopper") as pool:
            ends: list[Future[None]] = [pool.submit(self._shop, shopper) for shopper in self.shoppers]
            try:
                yield
            except BaseException:
                self._each = 0
                raise
            finally:
                self._over.set()
        for end in ends:
            end.result()

    def _shop(self, shopper: "Shopper") -> None:
        while not self._over.is_set() or shopper.placed < self._each:
            shopper.turn()
            self._over.wait(self._pause * shopper.random.uniform(0.5, 1.5))


class Shopper:
    """A buyer with an account and two connections: one as the buyer, one as the administrator who ships."""

    def __init__(self, scenario: Scenario, random: Random, products: list[Product]) -> None:
        self.scenario, self.random, self.placed = scenario, random, 0
        self._products = products
        self.buyer = scenario.shop.shopper()
        self.admin = Client(scenario.shop.url, scenario.shop.admin().token)
        self._orders: list[str] = []

    @property
    def plenty(self) -> Product:
        """A product that is always there."""
        return self._products[-1]

    def turn(self) -> None:
        """Buy something, perhaps do something about it, and look at an order."""
        order = self._buy()
        self.placed += 1
        if order:
            self._orders = [*self._orders, order][-KEPT:]
            act = self.random.random()
            if act < 0.2:
                self._change(self.buyer, order, "cancel")
            elif act < 0.4:
                self._change(self.admin, order, "ship")
                if act < 0.3:
                    self._change(self.admin, order, "deliver")
        self.look()

    def look(self) -> None:
        """Look at one of the latest orders."""
        if self._orders:
            order = self.random.choice(self._orders)
            self.scenario.send_once("look", "", lambda: self.buyer.get(f"/api/orders/{order}"), order=order)

    def look_at_all(self) -> None:
        """Look at each of the latest orders until there is an answer."""
        for order in self._orders:
            self.scenario.retry_until_answered(
                lambda _, order=order: self.buyer.get(f"/api/orders/{order}"), "look", PATIENCE, order
            )

    def _buy(self) -> str:
        """The id of the order, "" where it was refused."""
        lines = self.random.sample(self._products, self.random.choice((1, 1, 2)))
        items = [{"productId": line["id"], "quantity": self.random.randint(1, 3)} for line in lines]
        token = self.random.choices(list(TOKENS), list(TOKENS.values()))[0]
        body: dict[str, Any] = {"items": items, "paymentToken": token}
        key = clock.new_id()
        answer = self.scenario.retry_until_answered(
            lambda _: self.buyer.post("/api/orders", body, key=key), "order", PATIENCE, key=key
        )
        assert answer.status_code in (201, 202, 402, 409), answer.text
        if self.random.random() < 0.2:
            self.scenario.send_once("order", key, lambda: self.buyer.post("/api/orders", body, key=key))
            other = {**body, "paymentToken": "tok_other"}
            self.scenario.send_once("order otherwise", key, lambda: self.buyer.post("/api/orders", other, key=key))
        return str(answer.json()["id"]) if answer.ok else ""

    def _change(self, who: Client, order: str, what: str) -> None:
        """Cancel, ship or deliver; that its status forbids it is an answer, too."""
        path = f"/api/orders/{order}/{what}"
        answer = self.scenario.retry_until_answered(lambda key: who.post(path, key=key), what, PATIENCE, order)
        assert answer.status_code in (200, 202, 409), answer.text
