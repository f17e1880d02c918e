"""A client of the mixed storm: it signs up, signs in, lists, signs out, and manages the catalog as an administrator."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from threading import Event
from typing import Any

import requests

from chassis import clock
from tests.faults.load import RESPONSE_TIMEOUT_S
from tests.faults.scenario import Scenario
from tests.system.platform import PASSWORD, Client

LISTS = ("/api/products?sort=name", "/api/products?q=kettle&sort=-price", "/api/orders", "/api/notifications")


class Visitor:
    """Comes again and again, each time as a new user; `visits` counts the visits that have ended."""

    def __init__(self, scenario: Scenario, random: Random) -> None:
        self.visits = 0
        self._scenario, self._random = scenario, random
        self._admin = Client(scenario.shop.url, scenario.shop.admin().token)
        self._product = scenario.shop.product(stock=100)

    @contextmanager
    def visiting(self) -> Iterator[None]:
        """Visit until the block ends, and raise what went wrong."""
        ended = Event()

        def visit_until_ended() -> None:
            while not ended.is_set():
                self._visit()
                self.visits += 1

        with ThreadPoolExecutor(1, thread_name_prefix="visitor") as pool:
            future = pool.submit(visit_until_ended)
            try:
                yield
            finally:
                ended.set()
        future.result()

    def _visit(self) -> None:
        client, email = self._scenario.shop.guest(), f"{clock.new_id().lower()}@example.com"
        person = {"email": email, "name": "Ada Byron", "password": PASSWORD}
        user = self._send("sign up", lambda key: client.post("/api/users", person, key=key), 201)
        credentials = {"email": email, "password": PASSWORD}
        tokens = self._send("sign in", lambda _: client.post("/api/auth/login", credentials), 200)
        once = {"refreshToken": tokens["refreshToken"]}
        renewed = self._send("refresh", lambda _: client.post("/api/auth/refresh", once), 200)
        client.token, token = renewed["accessToken"], {"refreshToken": renewed["refreshToken"]}
        path = f"/api/users/{user['id']}"
        renamed = self._send("rename", lambda key: client.put(path, {"name": "Ada"}, key=key), 200)
        me = self._send("me", lambda _: client.get("/api/users/me"), 200)
        assert (me["id"], me["name"], renamed["name"]) == (user["id"], "Ada", "Ada")
        for each in LISTS:
            self._send("list", lambda _, each=each: client.get(each), 200)
        self._manage_catalog()
        if self._random.random() < 0.5:
            self._send("sign out", lambda _: client.post("/api/auth/logout", token), 204, 401)
        elif self._random.random() < 0.5:
            erasure = {"currentPassword": PASSWORD}
            self._send("erase", lambda _: client.delete(path, json=erasure), 204, 401, 404)

    def _manage_catalog(self) -> None:
        product = f"/api/products/{self._product['id']}"
        change = {"adjustment": self._random.choice((-3, -2, 5))}
        self._send("stock", lambda key: self._admin.patch(f"{product}/stock", change, key=key), 200, 409)
        price = {"price": f"{self._random.randint(5, 20)}.00"}
        self._send("price", lambda key: self._admin.put(product, price, key=key), 200)
        new = {"name": f"Kettle {self._random.random()}", "price": "9.00", "stock": 4}
        made = self._send("product", lambda key: self._admin.post("/api/products", new, key=key), 201)
        stock = self._send("read stock", lambda _: self._admin.get(f"/api/inventory/{made['id']}"), 200)
        assert stock["available"] == 4

    def _send(self, op: str, send: Callable[..., requests.Response], *statuses: int) -> Any:
        """Return the body of the definite response; 401 and 404 of a repetition say that it was done before."""
        response = self._scenario.retry_until_answered(send, op, RESPONSE_TIMEOUT_S)
        assert response.status_code in statuses, f"{op}: {response.status_code} {response.text}"
        return response.json() if response.content else None
