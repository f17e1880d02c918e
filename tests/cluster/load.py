"""An open loop of clients with persistent connections and without retries.

with Load(shop, rate=20) as load:
    ...                             # what clients must not notice
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

MAX_CONCURRENT = 64
"""Requests at once, each on a connection of its own."""
ORDER_INTERVAL = 10
"""Every tenth request is an order."""


@dataclass(frozen=True)
class Outcome:
    """One request: its start in seconds from the start of the load, its duration, and its status (0: no response)."""

    what: str
    at_s: float
    took_s: float
    status: int
    detail: str


class Load:
    """A load of `rate` requests per second: reads of the catalog, a product and an order, and some orders."""

    def __init__(self, shop: Front, rate: float, seed: int = 1) -> None:
        self.outcomes: list[Outcome] = []
        self.orders: list[str] = []
        self.products = [shop.product(stock=100_000) for _ in range(3)]
        self._buyer, self._random, self._rate = shop.shopper(), Random(seed), rate
        self._existing_order = self._buyer.buy(self.products[0])["id"]
        self._local = threading.local()
        self._stopped = threading.Event()
        self._begun = 0.0
        self._loop = threading.Thread(target=self._run)

    @property
    def failures(self) -> list[Outcome]:
        """The requests without response or with 5xx."""
        return [each for each in self.outcomes if each.status == 0 or each.status >= 500]

    def summary(self) -> str:
        """Return a line with totals and response times, and a line for each failure."""
        took = sorted(each.took_s for each in self.outcomes)
        p50, p99 = (took[int(share * (len(took) - 1))] for share in (0.5, 0.99))
        totals = f"{len(took)} requests, {len(self.orders)} orders, {len(self.failures)} failed"
        times = f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, longest {1000 * took[-1]:.0f} ms"
        return "\n".join([f"{totals}; {times}", *map(str, self.failures)])

    def __enter__(self) -> Self:
        self._begun = clock.monotonic()
        self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._loop.join()

    def final_status(self, order: str) -> str:
        """Wait until an order of this load is final; return its status."""
        return str(self._buyer.final_order(order)["status"])

    def wait_for(self, count: int) -> None:
        """Wait until `count` requests have ended."""
        while len(self.outcomes) < count:
            self._stopped.wait(0.1)

    def _run(self) -> None:
        number, futures = 0, list[Future[None]]()
        with ThreadPoolExecutor(MAX_CONCURRENT) as pool:
            while not self._stopped.wait(max(0.0, self._begun + number / self._rate - clock.monotonic())):
                futures.append(pool.submit(self._send, *self._next_request(number)))
                number += 1
        for future in futures:
            future.result()

    def _next_request(self, number: int) -> tuple[str, Callable[[Client], requests.Response]]:
        product = self._random.choice(self.products)
        if number % ORDER_INTERVAL == 0:
            key = clock.new_id()
            return "order", lambda client: client.order(product, key=key)
        reads = {"list": "/api/products", "product": f"/api/products/{product['id']}"}
        reads |= {"orders": "/api/orders", "order read": f"/api/orders/{self._existing_order}"}
        what = self._random.choice(list(reads))
        return what, lambda client: client.get(reads[what])

    def _send(self, what: str, request: Callable[[Client], requests.Response]) -> None:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = Client(self._buyer.url, self._buyer.token)
        sent = clock.monotonic()
        status, detail, body = 0, "", dict[str, Any]()
        try:
            response = request(client)
            status, detail = response.status_code, response.text[:300]
            body = response.json()
        except (requests.RequestException, ValueError) as error:
            detail = detail or repr(error)
        if what == "order" and status in (201, 202):
            self.orders.append(body["id"])
        self.outcomes.append(Outcome(what, sent - self._begun, clock.monotonic() - sent, status, detail))
