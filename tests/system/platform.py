"""A platform with its people: an administrator, shoppers, products and orders, all of it over HTTP.

shop = Shop(folder, RATE_LIMITS="off").up()
buyer = shop.shopper()
order = buyer.order(shop.product(stock=3), quantity=2).json()
eventually(lambda: len(buyer.items("/api/notifications")) == 2)
shop.down()
"""

import json
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from chassis import clock
from chassis.bus import Bus
from chassis.bus.engines import open_bus
from chassis.settings import Settings
from tests import dump, engines
from tests.system.running import Platform, eventually

__all__ = ["Client", "Remote", "Shop", "eventually", "expect", "problem", "refused_fields"]

FINAL = ("confirmed", "rejected", "cancelled", "shipped", "delivered")
PASSWORD = "correct horse battery"
PATIENCE = 20.0
"""Seconds an answer may take before a test fails."""


class Client:
    """Someone who asks the platform: nobody, or a user with an access token. One connection, for one thread."""

    def __init__(self, url: str, token: str = "", headers: dict[str, str] | None = None) -> None:
        self.url, self.token, self.refresh_token = url, token, ""
        self.account: dict[str, Any] = {}
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(headers or {})

    @property
    def id(self) -> str:
        return str(self.account["id"])

    @property
    def email(self) -> str:
        return str(self.account["email"])

    def ask(self, method: str, path: str, body: Any = None, key: str = "", **options: Any) -> requests.Response:
        """Send a request; `key` is its Idempotency-Key, and `options` are those of `requests`."""
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            options["json"] = body
        options.setdefault("timeout", PATIENCE)
        return self._session.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.ask("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.ask("PUT", path, body, **options)

    def patch(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.ask("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.ask("DELETE", path, **options)

    def items(self, path: str, limit: int = 100) -> list[dict[str, Any]]:
        """All the items of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = expect(self.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})}), 200)
            found += page["items"]
            cursor = page["nextCursor"]
        return found

    def sign_in(self, email: str, password: str) -> "Client":
        """Become this user."""
        tokens = expect(self.post("/api/auth/login", {"email": email, "password": password}), 200)
        self.token, self.refresh_token = tokens["accessToken"], tokens["refreshToken"]
        self.account = expect(self.get("/api/users/me"), 200)
        return self

    def order(self, product: dict[str, Any], quantity: int = 1, key: str = "", **fields: Any) -> requests.Response:
        """Buy units of one product; `fields` join the request: `paymentToken`, `userId`."""
        return self.post("/api/orders", {"productId": product["id"], "quantity": quantity, **fields}, key=key)

    def buy(self, product: dict[str, Any], quantity: int = 1) -> dict[str, Any]:
        """The order, once it is confirmed."""
        answer = self.order(product, quantity)
        assert answer.status_code in (201, 202), answer.text
        order = self.final(answer.json()["id"])
        assert order["status"] == "confirmed"
        return order

    def final(self, order: str, within: float = 30.0) -> dict[str, Any]:
        """The order of this id, once it is no longer pending."""
        found: dict[str, Any] = eventually(lambda: self._final(order), within)
        return found

    def _final(self, order: str) -> dict[str, Any] | None:
        found: dict[str, Any] = expect(self.get(f"/api/orders/{order}"), 200)
        return found if found["status"] in FINAL else None


class Front(ABC):
    """A platform as its clients see it; `account` is its administrator's (e-mail address, password)."""

    def __init__(self) -> None:
        self._admin: Client | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def account(self) -> tuple[str, str]: ...

    def nobody(self) -> Client:
        """A client that has not signed in."""
        return Client(self.url)

    def admin(self) -> Client:
        """The administrator, signed in once."""
        if self._admin is None:
            self._admin = self.nobody().sign_in(*self.account)
        return self._admin

    def shopper(self, **fields: Any) -> Client:
        """A new user, signed in; `fields` replace those of the sign-up."""
        person = {"email": f"{clock.new_id().lower()}@example.com", "name": "Ada Byron", "password": PASSWORD, **fields}
        client = self.nobody()
        expect(client.post("/api/users", person), 201)
        return client.sign_in(person["email"], person["password"])

    def product(self, stock: int = 10, **fields: Any) -> dict[str, Any]:
        """A new product; `fields` replace its name, price, currency, description, category."""
        body = {"name": "Kettle", "price": "10.00", "stock": stock, **fields}
        made: dict[str, Any] = expect(self.admin().post("/api/products", body), 201)
        return made

    def stock(self, product: dict[str, Any]) -> tuple[int, int, int]:
        """(available, reserved, sold) of a product."""
        found = expect(self.admin().get(f"/api/inventory/{product['id']}"), 200)
        return found["available"], found["reserved"], found["sold"]


class Remote(Front):
    """A platform that runs elsewhere. A test that asks for more than its clients can see is skipped."""

    def __init__(self, url: str, email: str, password: str) -> None:
        super().__init__()
        self._url, self._account = url, (email, password)

    @property
    def url(self) -> str:
        return self._url

    @property
    def account(self) -> tuple[str, str]:
        return self._account

    def __getattr__(self, name: str) -> Any:
        pytest.skip(f"only where the platform runs on this machine: {name}")


class Shop(Platform, Front):
    """The platform of the real services in a folder of its own; `environment` holds settings, such as LEASE="2".

    It runs on a pair of real engines where it is given one, or where all tests are to (`pytest --engines`).
    """

    def __init__(self, folder: Path, pair: engines.Pair | None = None, **environment: str | None) -> None:
        self.engines = pair or (engines.pair() if engines.wanted() else None)
        Platform.__init__(self, folder, **(self.engines.settings if self.engines else {}), **environment)
        Front.__init__(self)

    @property
    def data(self) -> Path:
        """Its DATA_DIR."""
        return Path(self.environment["DATA_DIR"])

    @property
    def place(self) -> dump.Place:
        """Where its documents and events are."""
        return self.engines or self.data

    @property
    def url(self) -> str:
        return str(self.run()["url"])

    @property
    def account(self) -> tuple[str, str]:
        found = json.loads((self.data / "admin.json").read_text())
        return found["email"], found["password"]

    def up(self) -> "Shop":
        super().up()
        return self

    def down(self) -> None:
        """End it for good."""
        super().down()
        if self.engines:
            dump.forget(self.engines)
            self.engines.give_back()

    def captures(self, order: str) -> list[tuple[int, int]]:
        """(captured, refunded) of an order in the provider's own ledger, in minor units."""
        found = [each for each in self.documents("payments", "test_provider_ledger") if each["_id"] == order]
        return [(each["captured"], each["refunded"]) for each in found]

    def documents(self, service: str, collection: str) -> list[dict[str, Any]]:
        """What a service keeps, read past it from its own store."""
        return list(dump.read_store(self.place, service, collection).docs(service, collection).values())

    def bus(self) -> Bus:
        """The log of its events, past the services."""
        return open_bus(Settings.from_environment(self.environment))

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Let every process of a service stand still."""
        groups = [int(self.process(name, kind)["pid"]) for kind in ("web", "worker")]
        for group in groups:
            os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            for group in groups:
                os.killpg(group, signal.SIGCONT)

    def at(self, name: str, kind: str = "web") -> str:
        """The address of one process's own port, past the router."""
        return f"http://127.0.0.1:{self.process(name, kind)['port']}"

    def health(self, name: str, kind: str = "web") -> str:
        """The address of one process's health port."""
        return f"http://127.0.0.1:{self.process(name, kind)['health_port']}"


def expect(answer: requests.Response, status: int) -> Any:
    """The body of an answer that has this status (None if it has none)."""
    asked = f"{answer.request.method} {answer.request.path_url}"
    assert answer.status_code == status, f"{asked}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def problem(answer: requests.Response, status: int) -> dict[str, Any]:
    """The body of an error, which has all that RFC 9457 and the contract ask for."""
    body: dict[str, Any] = expect(answer, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "traceId"} <= body.keys()
    assert (body["status"], body["instance"]) == (status, answer.request.path_url.partition("?")[0])
    assert len(body["traceId"]) == 32
    return body


def refused_fields(answer: requests.Response) -> list[str]:
    """The fields that a 422 names, each with a reason."""
    errors = problem(answer, 422)["errors"]
    assert all(error["reason"] for error in errors)
    return [error["field"] for error in errors]
