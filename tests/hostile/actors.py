"""Users of a platform under attack: an owner of one object of each kind, and those who must not reach it.

The owner has confirmed the e-mail address, the other customers have not.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from joserfc.jwk import OKPKey

from chassis import clock
from tests.hostile.connection import Connection, Response
from tests.hostile.contract import Route, Schema, plain, routes
from tests.hostile.values import PICTURE
from tests.system.damage import change, plant
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
        self._at_bank = expect(self.owner.client.order(product, paymentToken="tok_action"), 202)["id"]
        shipped = self.owner.client.buy(product)["id"]
        expect(self.admin.post(f"/api/orders/{shipped}/ship"), 200)
        self.owned_ids = {
            "users": self.owner.id,
            "products": product["id"],
            "inventory": product["id"],
            "orders": order,
            "payments": order,
            "carts": self.owner.id,
        }
        eventually(lambda: all(person.client.items("/api/notifications") for person in (self.owner, self.erased)))
        expect(self.erased.client.erase(), 204)
        plant(shop, change("users", "accounts", self.owner.id, verified=True))
        self.ended_tokens = self._end_sessions()

    @cached_property
    def _picture_name(self) -> str:
        """The name under /media of a picture of another product."""
        path, kind = f"/api/products/{self.shop.product()['id']}/pictures", {"Content-Type": "image/png"}
        (picture,) = expect(self.admin.post(path, data=PICTURE, headers=kind), 201)["pictures"]
        return str(picture["url"]).rpartition("/")[2].removesuffix(".webp")

    def _make_admin(self) -> Client:
        client = _sign_up(self.shop).client
        expect(self.admin.post(f"/api/users/{client.id}/role", {"role": "admin"}), 200)
        return client.sign_in(client.email, PASSWORD)

    @cached_property
    def rejected_tokens(self) -> dict[str, str]:
        """Tokens that no route accepts, by what is wrong with them."""
        (doc,) = self.shop.documents("users", "signing_keys")
        key = OKPKey.import_key(doc["keys"][-1]["private"])
        found = invalid_tokens(self.shop, key, self.admin.id)
        found |= {f"of {name}": service_token(self.shop, "orders", name) for name in ("users", "payments")}
        return found | {"a refresh token": self.owner.client.refresh_token} | self.ended_tokens

    def _end_sessions(self) -> dict[str, str]:
        """End sessions in every way that there is; return their tokens once every service refuses them."""
        boss, (locked, changed, signed_out) = self.admin, (_sign_up(self.shop).client for _ in range(3))
        erased_admin, locked_admin, demoted = (self._make_admin() for _ in range(3))
        for person in (locked, locked_admin):
            expect(boss.post(f"/api/users/{person.id}/lock"), 200)
        expect(changed.change_credentials(password=f"another {PASSWORD}"), 200)
        expect(signed_out.post("/api/auth/logout", {"refreshToken": signed_out.refresh_token}), 204)
        expect(boss.erase(erased_admin.id), 204)
        expect(boss.post(f"/api/users/{demoted.id}/role", {"role": "customer"}), 200)
        ended = {
            "of an erased customer": self.erased.token,
            "of an erased administrator": erased_admin.token,
            "of a locked customer": locked.token,
            "of a locked administrator": locked_admin.token,
            "of a demoted administrator": demoted.token,
            "before a new password": changed.token,
            "of a session signed out": signed_out.token,
        }
        self.demoted = Person(demoted.sign_in(demoted.email, PASSWORD), ())
        one_of_each_service = {route.service: route for route in routes() if not route.is_public}
        for route in one_of_each_service.values():
            body = self.example(route)
            eventually(lambda: all(self.ask(route, token, body=body).status == 401 for token in ended.values()))  # noqa: B023
        return ended

    def allowed_client(self, route: Route) -> Client:
        """Return the client that may use this route on the objects of the owner."""
        return self.admin if route.is_for_administrators else self.owner.client

    def target(self, route: Route, id: str = "") -> str:
        """Return the path of this route to the object of the owner, or to that with this id."""
        owned = self._at_bank if "/bank/" in route.path else self.owned_ids.get(route.service, _NOTHING)
        path = route.path.replace("{id}", id or owned)
        path = path.replace("{product}", self.owned_ids["products"]).replace("{name}", self._picture_name)
        return re.sub(r"{\w+}", _NOTHING, path)

    def ask(self, route: Route, token: str, target: str = "", body: Any = None, **headers: str) -> Response:
        """Send a request through the router, with this token and body."""
        sent = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        raw = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        if raw is not None:
            sent["Content-Type"] = route.media_type or "application/json"
        return self.connection.ask(route.method, target or self.target(route), sent, raw)

    def example(self, route: Route) -> Any:
        """Return a body that this route accepts, None if it takes none."""
        if route.media_type.startswith("image/"):
            return PICTURE
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
