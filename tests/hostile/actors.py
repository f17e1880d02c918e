"""Users of a platform under attack: an owner of one object of each kind, and those who must not reach it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from joserfc.jwk import OKPKey

from chassis import clock
from tests.hostile.connection import Connection, Response
from tests.hostile.contract import Route, Schema, plain
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect
from tests.system.test_tokens import invalid_tokens, service_token

CARD = "4242424242424242"
_NOTHING = "no-such-thing"
_ENOUGH = ("name", "productId", "quantity")
"""The fields of an example body whose schema requires none."""


@dataclass(frozen=True)
class Person:
    """A user. The canaries, parts of the personal data, must reach no other customer and no log."""

    client: Client
    canaries: tuple[bytes, ...]

    @property
    def id(self) -> str:
        return self.client.id

    @property
    def token(self) -> str:
        return self.client.token


class Actors:
    """`owned_ids` are the objects of the owner: service -> id in the paths of its routes."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.connection = shop, Connection(shop.port)
        self.admin, self.owner, self.other, self.erased = shop.admin(), _sign_up(shop), _sign_up(shop), _sign_up(shop)
        product = shop.product(stock=1_000)
        order = self.owner.client.buy(product)["id"]
        assert self.owner.client.order(product, paymentToken=CARD).status_code == 422
        declined = self.owner.client.order(product, paymentToken="tok_declined")
        assert declined.status_code == 402
        self.owner.client.final_order(declined.json()["orderId"])
        shipped = self.owner.client.buy(product)["id"]
        expect(self.admin.post(f"/api/orders/{shipped}/ship"), 200)
        self.owned_ids = {
            "users": self.owner.id,
            "products": product["id"],
            "inventory": product["id"],
            "orders": order,
            "payments": order,
        }
        eventually(lambda: all(person.client.items("/api/notifications") for person in (self.owner, self.erased)))
        expect(self.erased.client.erase(), 204)

    @cached_property
    def rejected_tokens(self) -> dict[str, str]:
        """Tokens that no route accepts, by what is wrong with them."""
        (doc,) = self.shop.documents("users", "signing_keys")
        key = OKPKey.import_key(doc["keys"][-1]["private"])
        found = invalid_tokens(self.shop, key, self.admin.id)
        found |= {f"of {name}": service_token(self.shop, "orders", name) for name in ("users", "payments")}
        return found | {"a refresh token": self.owner.client.refresh_token}

    def allowed_client(self, route: Route) -> Client:
        """Return the client that may use this route on the objects of the owner."""
        return self.admin if route.is_for_administrators else self.owner.client

    def target(self, route: Route) -> str:
        """Return the path of this route to the object of the owner."""
        return route.path.replace("{id}", self.owned_ids.get(route.service, _NOTHING))

    def ask(self, route: Route, token: str, target: str = "", body: Any = None, **headers: str) -> Response:
        """Send a request through the router, with this token and body."""
        sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        raw = None if body is None else orjson.dumps(body)
        if raw is not None:
            sent["Content-Type"] = "application/json"
        return self.connection.ask(route.method, target or self.target(route), sent, raw)

    def example(self, route: Route) -> Any:
        """Return a body that this route accepts, None if it takes none."""
        return self._value(route.body, "") if route.body else None

    def _value(self, schema: Schema, name: str) -> Any:
        schema, known = plain(schema), self._known()
        if name in known:
            return known[name]
        if "properties" in schema:
            needed = schema.get("required") or [field for field in _ENOUGH if field in schema["properties"]]
            return {field: self._value(schema["properties"][field], field) for field in needed}
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") == "array":
            return [self._value(schema["items"], "")]
        return schema.get("minimum", 1) if schema.get("type") == "integer" else "x" * max(schema.get("minLength", 2), 2)

    def _known(self) -> dict[str, Any]:
        return {
            "email": f"{clock.new_id().lower()}@example.com",
            "password": PASSWORD,
            "price": "1.00",
            "productId": self.owned_ids["products"],
        }

    def find_leaks(self, response: Response, to: Person | None) -> list[bytes]:
        """Return the canaries of other users in a response to this person, or to an anonymous client."""
        people = [person for person in (self.owner, self.other, self.erased) if person is not to]
        return [canary for person in people for canary in person.canaries if canary in response.body]


def _sign_up(shop: Shop) -> Person:
    name = clock.new_id()
    client = shop.shopper(email=f"canary-{name.lower()}@example.com", name=f"Canary {name}")
    return Person(client, (name.encode(), name.lower().encode()))
