"""Who asks and what is there: an owner with all that one can own, and everyone who must not get at it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from joserfc.jwk import OKPKey

from chassis import clock
from tests.hostile.contract import Route, Schema, plain
from tests.hostile.line import Answer, Line
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect
from tests.system.test_tokens import invalid_tokens, service_token

CARD = "4242424242424242"
_NOTHING = "no-such-thing"
_ENOUGH = ("name", "productId", "quantity")
"""What a body is made of that names no field as required."""


@dataclass(frozen=True)
class Person:
    """A user; the canaries are told to no other customer and to no log."""

    client: Client
    canaries: tuple[bytes, ...]

    @property
    def id(self) -> str:
        return self.client.id

    @property
    def token(self) -> str:
        return self.client.token


class Cast:
    """`things` are the owner's: service -> the id that stands in its paths."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.line = shop, Line(shop.port)
        self.admin, self.owner, self.other, self.erased = shop.admin(), _person(shop), _person(shop), _person(shop)
        product = shop.product(stock=1_000)
        order = self.owner.client.buy(product)["id"]
        declined = self.owner.client.order(product, paymentToken=CARD)
        assert declined.status_code == 402
        self.owner.client.final_order(declined.json()["orderId"])
        shipped = self.owner.client.buy(product)["id"]
        expect(self.admin.post(f"/api/orders/{shipped}/ship"), 200)
        self.things = {
            "users": self.owner.id,
            "products": product["id"],
            "inventory": product["id"],
            "orders": order,
            "payments": order,
        }
        eventually(lambda: all(one.client.items("/api/notifications") for one in (self.owner, self.erased)))
        expect(self.erased.client.delete(f"/api/users/{self.erased.id}"), 204)

    @cached_property
    def tokens_of_nobody(self) -> dict[str, str]:
        """Tokens that open nothing, by what is wrong with them."""
        (doc,) = self.shop.documents("users", "signing_keys")
        key = OKPKey.import_key(doc["keys"][-1]["private"])
        found = invalid_tokens(self.shop, key, self.admin.id)
        found |= {f"of {name}": service_token(self.shop, "orders", name) for name in ("users", "payments")}
        return found | {"a refresh token": self.owner.client.refresh_token}

    def person_for(self, route: Route) -> Client:
        """Who may use this route on what the owner has."""
        return self.admin if route.is_for_administrators else self.owner.client

    def target(self, route: Route) -> str:
        """The path of this route to what the owner has."""
        return route.path.replace("{id}", self.things.get(route.service, _NOTHING))

    def ask(self, route: Route, token: str, target: str = "", body: Any = None, **headers: str) -> Answer:
        """Send a request by the router, with this token and body."""
        sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        raw = None if body is None else orjson.dumps(body)
        if raw is not None:
            sent["Content-Type"] = "application/json"
        return self.line.ask(route.method, target or self.target(route), sent, raw)

    def example(self, route: Route) -> Any:
        """A body that this route takes, None if it takes none."""
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
            "productId": self.things["products"],
        }

    def leaked(self, answer: Answer, to: Person | None) -> list[bytes]:
        """The canaries of others in an answer to this person, or to nobody."""
        people = [person for person in (self.owner, self.other, self.erased) if person is not to]
        return [canary for person in people for canary in person.canaries if canary in answer.body]


def _person(shop: Shop) -> Person:
    mark = clock.new_id()
    client = shop.shopper(email=f"canary-{mark.lower()}@example.com", name=f"Canary {mark}")
    return Person(client, (mark.encode(), mark.lower().encode()))
