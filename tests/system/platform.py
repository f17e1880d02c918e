"""A platform and its users over HTTP: an administrator, shoppers, products and orders.

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
from contextlib import contextmanager, suppress
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

FINAL_STATUSES = ("confirmed", "rejected", "cancelled", "shipped", "delivered")
PASSWORD = "correct horse battery"
RESPONSE_TIMEOUT_S = 20.0
"""A slower response fails the test."""


class Client:
    """A guest, or a user with an access token. Keeps one connection, for one thread."""

    def __init__(self, url: str, token: str = "", headers: dict[str, str] | None = None) -> None:
        self.url, self.token, self.refresh_token, self.password = url, token, "", ""
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

    def request(self, method: str, path: str, body: Any = None, key: str = "", **options: Any) -> requests.Response:
        """Send a request. `key` is its Idempotency-Key; `options` are those of `requests`."""
        headers = dict(options.pop("headers", {}))
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if key:
            headers["Idempotency-Key"] = key
        if body is not None:
            options["json"] = body
        options.setdefault("timeout", RESPONSE_TIMEOUT_S)
        return self._session.request(method, self.url + path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.request("POST", path, body, **options)

    def put(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.request("PUT", path, body, **options)

    def patch(self, path: str, body: Any, **options: Any) -> requests.Response:
        return self.request("PATCH", path, body, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.request("DELETE", path, **options)

    def items(self, path: str, limit: int = 100) -> list[dict[str, Any]]:
        """Return all items of a list, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = expect(self.get(path, params={"limit": limit, **({"cursor": cursor} if cursor else {})}), 200)
            found += page["items"]
            cursor = page["nextCursor"]
        return found

    def sign_in(self, email: str, password: str) -> "Client":
        """Sign in as this user, and return this client."""
        tokens = expect(self.post("/api/auth/login", {"email": email, "password": password}), 200)
        self.token, self.refresh_token = tokens["accessToken"], tokens["refreshToken"]
        self.password = password
        self.account = expect(self.get("/api/users/me"), 200)
        return self

    def erase(self, user: str = "") -> requests.Response:
        """Erase this user, or another one as an administrator."""
        return self.delete(f"/api/users/{user or self.id}", json={"currentPassword": self.password})

    def change_credentials(self, **fields: str) -> requests.Response:
        """Change the `email` or `password` of this user, which ends all sessions of the user."""
        return self.put(f"/api/users/{self.id}", {**fields, "currentPassword": self.password})

    def order(self, product: dict[str, Any], quantity: int = 1, key: str = "", **fields: Any) -> requests.Response:
        """Order units of one product; `fields` add to the request: `paymentToken`, `userId`."""
        return self.post("/api/orders", {"productId": product["id"], "quantity": quantity, **fields}, key=key)

    def buy(self, product: dict[str, Any], quantity: int = 1) -> dict[str, Any]:
        """Order units of one product, and return the confirmed order."""
        response = self.order(product, quantity)
        assert response.status_code in (201, 202), response.text
        order = self.final_order(response.json()["id"])
        assert order["status"] == "confirmed"
        return order

    def final_order(self, order: str, within: float = 30.0) -> dict[str, Any]:
        """Return the order once it is no longer pending."""
        found: dict[str, Any] = eventually(lambda: self._final(order), within)
        return found

    def _final(self, order: str) -> dict[str, Any] | None:
        found: dict[str, Any] = expect(self.get(f"/api/orders/{order}"), 200)
        return found if found["status"] in FINAL_STATUSES else None


class Front(ABC):
    """A platform as its clients see it; `account` is (e-mail address, password) of its administrator."""

    def __init__(self) -> None:
        self._admin: Client | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def account(self) -> tuple[str, str]: ...

    def guest(self) -> Client:
        """Return a client that has not signed in."""
        return Client(self.url)

    def admin(self) -> Client:
        """Return the administrator, signed in once."""
        if self._admin is None:
            self._admin = self.guest().sign_in(*self.account)
        return self._admin

    def shopper(self, **fields: Any) -> Client:
        """Sign up a new user and sign in; `fields` replace those of the sign-up."""
        person = {"email": f"{clock.new_id().lower()}@example.com", "name": "Ada Byron", "password": PASSWORD, **fields}
        client = self.guest()
        expect(client.post("/api/users", person), 201)
        return client.sign_in(person["email"], person["password"])

    def product(self, stock: int = 10, **fields: Any) -> dict[str, Any]:
        """Create a product; `fields` replace its name, price, currency, description, category."""
        body = {"name": "Kettle", "price": "10.00", "stock": stock, **fields}
        product: dict[str, Any] = expect(self.admin().post("/api/products", body), 201)
        return product

    def stock(self, product: dict[str, Any]) -> tuple[int, int, int]:
        """Return (available, reserved, sold) of a product."""
        found = expect(self.admin().get(f"/api/inventory/{product['id']}"), 200)
        return found["available"], found["reserved"], found["sold"]

    @contextmanager
    def undecided_payments(self) -> Iterator[None]:
        """Keep payments undecided inside the block. Remotely, only `tok_slow` does, for a while."""
        yield


class Remote(Front):
    """A platform that runs elsewhere. Skips a test that needs more than a client can see."""

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
        pytest.skip(f"needs a platform on this machine: {name}")


class Shop(Platform, Front):
    """A platform of the real services in a folder of its own; `environment` holds settings, such as LEASE="2".

    Runs on the given pair of real engines, on a new pair with `pytest --engines`, else on embedded engines.
    """

    def __init__(self, folder: Path, pair: engines.Pair | None = None, **environment: str | None) -> None:
        self.engines = pair or (engines.pair() if engines.wanted() else None)
        Platform.__init__(self, folder, **(self.engines.settings if self.engines else {}), **environment)
        Front.__init__(self)

    @property
    def data(self) -> Path:
        """Return its DATA_DIR."""
        return Path(self.environment["DATA_DIR"])

    @property
    def place(self) -> dump.Place:
        """Return where its documents and events are."""
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
        """Stop the platform and release its engines."""
        super().down()
        if self.engines:
            dump.forget(self.engines)
            self.engines.give_back()

    def captures(self, order: str) -> list[tuple[int, int]]:
        """Return (captured, refunded) of an order in the provider's own ledger, in minor units."""
        found = [each for each in self.documents("payments", "test_provider_ledger") if each["_id"] == order]
        return [(each["captured"], each["refunded"]) for each in found]

    def documents(self, service: str, collection: str) -> list[dict[str, Any]]:
        """Read a collection directly from the store of a service."""
        return list(dump.read_store(self.place, service, collection).docs(service, collection).values())

    def bus(self) -> Bus:
        """Open its message bus directly."""
        return open_bus(Settings.from_environment(self.environment))

    @contextmanager
    def undecided_payments(self) -> Iterator[None]:
        with self.frozen("payments"):
            yield

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop every process of a service with SIGSTOP inside the block."""
        groups = [int(self.process(name, kind)["pid"]) for kind in ("web", "worker")]
        for group in groups:
            os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            for group in groups:
                with suppress(ProcessLookupError):  # the test has killed it
                    os.killpg(group, signal.SIGCONT)

    def url_of(self, name: str, kind: str = "web") -> str:
        """Return the URL of a process's own port, which bypasses the router."""
        return f"http://127.0.0.1:{self.process(name, kind)['port']}"

    def health_url_of(self, name: str, kind: str = "web") -> str:
        """Return the URL of a process's health port."""
        return f"http://127.0.0.1:{self.process(name, kind)['health_port']}"


def expect(response: requests.Response, status: int) -> Any:
    """Check the status of a response and return its body, or None if it has none."""
    request = f"{response.request.method} {response.request.path_url}"
    assert response.status_code == status, f"{request}: {response.status_code} {response.text}"
    return response.json() if response.content else None


def problem(response: requests.Response, status: int) -> dict[str, Any]:
    """Check that a response is a problem as RFC 9457 and the contract require, and return its body."""
    body: dict[str, Any] = expect(response, status)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance", "traceId"} <= body.keys()
    assert (body["status"], body["instance"]) == (status, response.request.path_url.partition("?")[0])
    assert len(body["traceId"]) == 32
    return body


def refused_fields(response: requests.Response) -> list[str]:
    """Return the fields that a 422 response names, each with a reason."""
    errors = problem(response, 422)["errors"]
    assert all(error["reason"] for error in errors)
    return [error["field"] for error in errors]
