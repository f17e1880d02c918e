"""Clients that come whether or not others were answered (an open loop), keep their connections, and never try again.

with Load(shop, rate=20) as load:
    ...                             # what they should not notice
assert not load.failures
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self

import requests

from chassis import clock
from tests.system.platform import Client, Front

MOST = 64
"""Requests under way at once, each on a connection of its own."""
ORDERS = 10
"""One in so many requests is an order."""


@dataclass(frozen=True)
class Outcome:
    """`at` and `seconds` are from the load's beginning, and of the request; `status` is 0 where no answer came."""

    what: str
    at: float
    seconds: float
    status: int
    detail: str


class Load:
    """So many requests a second: reads of the catalog, of a product, of an order, and an order now and then."""

    def __init__(self, shop: Front, rate: float, seed: int = 1) -> None:
        self.outcomes: list[Outcome] = []
        self.orders: list[str] = []
        self.products = [shop.product(stock=100_000) for _ in range(3)]
        self._buyer, self._random, self._rate = shop.shopper(), Random(seed), rate
        self._old = self._buyer.buy(self.products[0])["id"]
        self._own = threading.local()
        self._over = threading.Event()
        self._begun = 0.0
        self._loop = threading.Thread(target=self._come)

    @property
    def failures(self) -> list[Outcome]:
        """What a client would call a failure of the platform."""
        return [each for each in self.outcomes if each.status == 0 or each.status >= 500]

    def summary(self) -> str:
        """What became of all, in a line; and each failure."""
        took = sorted(each.seconds for each in self.outcomes)
        p50, p99 = (took[int(share * (len(took) - 1))] for share in (0.5, 0.99))
        answered = f"{len(took)} requests, {len(self.orders)} orders, {len(self.failures)} failed"
        times = f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, longest {1000 * took[-1]:.0f} ms"
        return "\n".join([f"{answered}; {times}", *map(str, self.failures)])

    def __enter__(self) -> Self:
        self._begun = clock.monotonic()
        self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._over.set()
        self._loop.join()

    def final(self, order: str) -> str:
        """What became of an order of its."""
        return str(self._buyer.final(order)["status"])

    def until(self, count: int) -> None:
        """Let it go on until so many have come."""
        while len(self.outcomes) < count:
            self._over.wait(0.1)

    def _come(self) -> None:
        number, ends = 0, list[Future[None]]()
        with ThreadPoolExecutor(MOST) as pool:
            while not self._over.wait(max(0.0, self._begun + number / self._rate - clock.monotonic())):
                ends.append(pool.submit(self._one, *self._next(number)))
                number += 1
        for end in ends:
            end.result()

    def _next(self, number: int) -> tuple[str, Callable[[Client], requests.Response]]:
        product = self._random.choice(self.products)
        if number % ORDERS == 0:
            key = clock.new_id()
            return "order", lambda client: client.order(product, key=key)
        reads = {"list": "/api/products", "product": f"/api/products/{product['id']}"}
        reads |= {"orders": "/api/orders", "look": f"/api/orders/{self._old}"}
        what = self._random.choice(list(reads))
        return what, lambda client: client.get(reads[what])

    def _one(self, what: str, ask: Callable[[Client], requests.Response]) -> None:
        client: Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = Client(self._buyer.url, self._buyer.token)
        asked = clock.monotonic()
        status, detail, body = 0, "", dict[str, Any]()
        try:
            answer = ask(client)
            status, detail = answer.status_code, answer.text[:300]
            body = answer.json()
        except (requests.RequestException, ValueError) as error:
            detail = detail or repr(error)
        if what == "order" and status in (201, 202):
            self.orders.append(body["id"])
        self.outcomes.append(Outcome(what, asked - self._begun, clock.monotonic() - asked, status, detail))
