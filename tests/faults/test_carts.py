"""Carts under kill -9: a guest's cart is merged once, and a checkout takes out what was ordered and nothing else."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from tests import dump
from tests.faults.scenario import Scenario
from tests.sizes import by_form
from tests.system.platform import Client, eventually, expect

MERGES = by_form(4, 100)
ORDERS = by_form(4, 60)
ADD_PAUSE_S = 0.03
"""Less often, so that some orders find the cart as they read it."""
TIMEOUT_S = 60.0
CRASHES = (("carts-web", "before"), ("carts-web", "after"), ("carts-worker", "before"), ("carts-worker", "after"))


def quantities(client: Client) -> dict[str, int]:
    cart = expect(client.get("/api/carts/mine"), 200)
    return {item["productId"]: item["quantity"] for item in cart["items"]}


def test_a_merge_that_is_repeated_under_kill_gives_one_cart(crash: Scenario, person: Client) -> None:
    product = crash.shop.product()["id"]
    merged = []
    for turn in range(MERGES):
        guest = expect(person.post("/api/carts"), 201)
        body = {"productId": product, "quantity": turn % 9 + 1}
        expect(person.post(f"/api/carts/{guest['id']}/items", body, headers={"Cart-Token": guest["token"]}), 200)
        credentials = {"cartId": guest["id"], "token": guest["token"]}

        def merge(_: str, body: dict[str, str] = credentials) -> requests.Response:
            return person.post("/api/carts/mine/merges", body)

        crash.arm_crash("carts-web", "carts.update", ("before", "after")[turn % 2])
        answer = crash.retry_until_answered(merge, "merge", TIMEOUT_S)
        assert expect(answer, 200)["merged"] == [body]
        crash.wait_until_fired("carts-web", TIMEOUT_S)
        assert quantities(person) == {product: body["quantity"]}
        expect(person.put(f"/api/carts/mine/items/{product}", {"quantity": 0}), 200)
        assert expect(crash.retry_until_answered(merge, "merge", TIMEOUT_S), 200)["items"] == []
        merged.append(guest["id"])

    def published() -> list[str]:
        return [event.data["cartId"] for event in dump.read(crash.shop.place).of("cart.merged")]

    eventually(lambda: len(published()) >= len(merged))
    assert published() == merged
    (cart,) = [doc for doc in crash.shop.documents("carts", "carts") if doc["userId"] == person.id]
    assert [*cart["merged"]] == merged


class CartShopper:
    """A user who adds products in one thread, and orders the cart in another: every second payment is declined."""

    def __init__(self, crash: Scenario) -> None:
        self.crash, self.person = crash, crash.shop.shopper()
        self.products = [crash.shop.product(stock=100_000)["id"] for _ in range(3)]
        self.added: Counter[str] = Counter()
        self.ended = threading.Event()

    def add(self) -> None:
        client = Client(self.person.url, self.person.token)
        while not self.ended.wait(ADD_PAUSE_S):
            body = {"productId": self.products[sum(self.added.values()) % 3], "quantity": 1}
            answer = self._send(client, "/api/carts/mine/items", body)
            assert answer.status_code in (200, 422), answer.text
            self.added[body["productId"]] += answer.status_code == 200

    def check_out(self) -> None:
        client, orders = Client(self.person.url, self.person.token), 0
        while orders < ORDERS:
            read = self.crash.retry_until_answered(lambda _: client.get("/api/carts/mine"), "read", TIMEOUT_S)
            cart = expect(read, 200)
            token = ("tok_ok", "tok_declined")[orders % 2]
            body = {"cartId": cart["id"], "cartVersion": cart["version"], "paymentToken": token}
            answer = self._send(client, "/api/orders", body)
            assert answer.status_code in (201, 202, 402, 412, 422), answer.text
            if answer.status_code in (201, 202, 402):  # until then, a second order of the same cart would be valid
                order = answer.json()["id" if answer.ok else "orderId"]
                eventually(lambda: self.mark(order) in ("subtracted", "dropped"), TIMEOUT_S)  # noqa: B023  called here
                orders += 1
        self.ended.set()

    def mark(self, order: str) -> str:
        (cart,) = [doc for doc in self.crash.shop.documents("carts", "carts") if doc["_id"] == self.person.id]
        return str(cart["orders"].get(order, {}).get("state", ""))

    def _send(self, client: Client, path: str, body: dict[str, Any]) -> requests.Response:
        return self.crash.retry_until_answered(lambda key: client.post(path, body, key=key), path, TIMEOUT_S)


def test_a_checkout_under_kill_loses_no_line_that_is_added_meanwhile(crash: Scenario) -> None:
    shopper = CartShopper(crash)
    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(shopper.add), pool.submit(shopper.check_out)]
        for process, when in CRASHES:
            crash.arm_crash(process, "carts.update", when)
            eventually(lambda: shopper.ended.is_set() or crash.has_fired(process), TIMEOUT_S)  # noqa: B023  called here
        for each in work:
            each.result()
    crash.disarm()
    crash.assert_consistent()
    found = dump.read(crash.shop.place)
    confirmed = {event.data["orderId"] for event in found.of("order.confirmed")}
    placed = [event.data for event in found.of("order.placed") if event.data.get("cartId") == shopper.person.id]
    ordered: Counter[str] = Counter()
    for item in (item for order in placed if order["orderId"] in confirmed for item in order["items"]):
        ordered[item["productId"]] += item["quantity"]
    cart = found.docs("carts", "carts")[shopper.person.id]
    assert {product: line["quantity"] for product, line in cart["items"].items()} == dict(shopper.added - ordered)
    assert not ordered - shopper.added
    ends = {order["orderId"]: "subtracted" if order["orderId"] in confirmed else "dropped" for order in placed}
    assert {order: mark["state"] for order, mark in cart["orders"].items()} == ends
    assert sorted(ends.values()) == sorted(ORDERS // 2 * ["subtracted", "dropped"])
