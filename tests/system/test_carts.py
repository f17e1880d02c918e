"""`/api/carts` over HTTP: carts of guests and users, their merge, and orders of a cart."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests import dump
from tests.system.damage import change, plant
from tests.system.platform import Client, Shop, eventually, expect, problem, refused_fields


@pytest.fixture(scope="module")
def product(shop: Shop) -> dict[str, Any]:
    return shop.product(stock=1_000, name="Kettle", price="10.00")


@pytest.fixture
def holder(guest: Client) -> Iterator[tuple[Client, str]]:
    """A guest with a new cart, whose requests carry its token."""
    cart = expect(guest.post("/api/carts"), 201)
    yield Client(guest.url, headers={"Cart-Token": cart["token"]}), cart["id"]


def add(
    client: Client, product: dict[str, Any], quantity: int = 1, cart: str = "mine", key: str = ""
) -> dict[str, Any]:
    body = {"productId": product["id"], "quantity": quantity}
    added: dict[str, Any] = expect(client.post(f"/api/carts/{cart}/items", body, key=key), 200)
    return added


def quantities(cart: dict[str, Any]) -> dict[str, int]:
    return {item["productId"]: item["quantity"] for item in cart["items"]}


def mine(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = expect(client.get("/api/carts/mine"), 200)
    return found


def test_a_user_without_a_cart_has_an_empty_one(buyer: Client, guest: Client) -> None:
    empty = mine(buyer)
    assert (empty["items"], empty["total"], empty["version"], empty["expiresAt"]) == ([], None, 0, None)
    problem(guest.get("/api/carts/mine"), 401)


def test_lines_are_added_set_and_taken_out(shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
    other = shop.product(stock=3, name="Teapot", price="2.50")
    add(buyer, product, 2)
    cart = add(buyer, other, 4)
    assert cart["total"] == "30.00"
    assert cart["problems"] == ["insufficient_stock"]
    kettle, teapot = cart["items"]
    assert kettle == {
        **{"productId": product["id"], "name": "Kettle", "picture": None, "quantity": 2, "price": "10.00"},
        **{"priceWas": None, "stock": "in", "problems": []},
    }
    assert (teapot["stock"], teapot["problems"]) == ("low", ["insufficient_stock"])
    path = f"/api/carts/mine/items/{other['id']}"
    assert quantities(expect(buyer.put(path, {"quantity": 1}), 200)) == {product["id"]: 2, other["id"]: 1}
    expect(shop.admin().put(f"/api/products/{other['id']}", {"price": "3.00"}), 200)
    dearer = mine(buyer)["items"][1]
    assert (dearer["price"], dearer["priceWas"]) == ("3.00", "2.50")
    assert quantities(expect(buyer.put(path, {"quantity": 0}), 200)) == {product["id"]: 2}
    assert buyer.delete("/api/carts/mine/items").status_code == 204
    assert mine(buyer)["items"] == []


def test_limits_and_unknown_products_are_named(buyer: Client, product: dict[str, Any]) -> None:
    line = f"/api/carts/mine/items/{product['id']}"
    assert refused_fields(buyer.put(line, {"quantity": 100})) == ["quantity"]
    none, two, unknown = (
        {"productId": id, "quantity": quantity} for id, quantity in ((product["id"], 0), (product["id"], 2), ("x", 1))
    )
    assert refused_fields(buyer.post("/api/carts/mine/items", none)) == ["quantity"]
    add(buyer, product, 98)
    assert refused_fields(buyer.post("/api/carts/mine/items", two)) == ["quantity"]
    assert refused_fields(buyer.post("/api/carts/mine/items", unknown)) == ["productId"]
    priced = {"productId": product["id"], "quantity": 1, "price": "1"}
    assert refused_fields(buyer.post("/api/carts/mine/items", priced)) == ["price"]
    assert quantities(mine(buyer)) == {product["id"]: 98}


def test_only_its_token_opens_the_cart_of_a_guest(
    shop: Shop, holder: tuple[Client, str], guest: Client, buyer: Client, product: dict[str, Any]
) -> None:
    client, cart = holder
    assert quantities(add(client, product, 2, cart)) == {product["id"]: 2}
    body = {"productId": product["id"], "quantity": 1}
    other = expect(guest.post("/api/carts"), 201)["token"]
    for headers in ({}, {"Cart-Token": ""}, {"Cart-Token": other}, {"Cart-Token": "é"}):
        for caller in (guest, buyer, shop.admin()):
            problem(caller.get(f"/api/carts/{cart}", headers=headers), 404)
            problem(caller.post(f"/api/carts/{cart}/items", body, headers=headers), 404)
            problem(caller.put(f"/api/carts/{cart}/items/{product['id']}", {"quantity": 5}, headers=headers), 404)
            problem(caller.delete(f"/api/carts/{cart}/items", headers=headers), 404)
    add(buyer, product)
    for caller in (guest, client, shop.admin()):
        problem(caller.get(f"/api/carts/{buyer.id}"), 404)
    assert quantities(expect(client.get(f"/api/carts/{cart}"), 200)) == {product["id"]: 2}
    token = str(client._session.headers["Cart-Token"])
    assert token not in str(shop.documents("carts", "carts")) + str(shop.documents("carts", "idempotency"))


def test_a_repeated_key_adds_once_and_shows_nothing_to_another(
    holder: tuple[Client, str], guest: Client, product: dict[str, Any]
) -> None:
    client, cart = holder
    added = add(client, product, 2, cart, key="first")
    assert add(client, product, 2, cart, key="first") == added
    stolen = guest.post(f"/api/carts/{cart}/items", {"productId": product["id"], "quantity": 2}, key="first")
    assert stolen.status_code in (404, 422)
    assert "items" not in stolen.json()


def test_a_change_with_an_old_etag_is_rejected(buyer: Client, product: dict[str, Any]) -> None:
    add(buyer, product, 1)
    seen = buyer.get("/api/carts/mine")
    tag = {"If-None-Match": seen.headers["ETag"]}
    assert buyer.get("/api/carts/mine", headers=tag).status_code == 304
    add(buyer, product, 1)
    stale = {"If-Match": seen.headers["ETag"]}
    problem(buyer.put(f"/api/carts/mine/items/{product['id']}", {"quantity": 9}, headers=stale), 412)
    problem(buyer.delete("/api/carts/mine/items", headers=stale), 412)
    assert quantities(mine(buyer)) == {product["id"]: 2}


def test_concurrent_adds_and_merges_lose_nothing(shop: Shop, holder: tuple[Client, str], buyer: Client) -> None:
    client, cart = holder
    token = str(client._session.headers["Cart-Token"])
    product = shop.product(name="Cup")

    def add_one(_: int) -> None:
        add(Client(client.url, headers={"Cart-Token": token}), product, 1, cart)

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(add_one, range(50)))
    body = {"cartId": cart, "token": token}

    def merge(_: int) -> dict[str, Any]:
        person = Client(buyer.url, buyer.token)
        merged: dict[str, Any] = expect(person.post("/api/carts/mine/merges", body), 200)
        return merged

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(merge, range(5)))
    wanted = {product["id"]: 50}
    assert quantities(mine(buyer)) == wanted
    for answer in answers:
        assert {item["productId"]: item["quantity"] for item in answer["merged"]} == wanted
    problem(client.get(f"/api/carts/{cart}"), 404)
    eventually(
        lambda: [doc for doc in shop.documents("carts", "carts") if doc["_id"] == buyer.id and not doc["pending"]]
    )


def test_an_order_of_a_cart_takes_out_what_was_ordered(shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
    add(buyer, product, 3)
    cart = mine(buyer)
    body = {"cartId": cart["id"], "cartVersion": cart["version"], "expectedTotal": cart["total"]}
    order = expect(buyer.post("/api/orders", body), 201)
    assert [(item["productId"], item["quantity"]) for item in order["items"]] == [(product["id"], 3)]
    eventually(lambda: mine(buyer)["items"] == [])
    placed = [
        event.data["orderId"]
        for event in dump.read(shop.place).of("order.placed")
        if event.data.get("cartId") == cart["id"]
    ]
    assert placed == [order["id"]]


def test_a_cart_that_changed_or_belongs_to_another_cannot_be_ordered(
    shop: Shop, holder: tuple[Client, str], buyer: Client, product: dict[str, Any]
) -> None:
    client, foreign = holder
    add(client, product, 1, foreign)
    version = add(buyer, product, 1)["version"]
    add(buyer, product, 1)
    assert problem(buyer.post("/api/orders", {"cartId": buyer.id, "cartVersion": version}), 412)
    for cart in (foreign, "nothing", "mine"):
        problem(buyer.post("/api/orders", {"cartId": cart, "cartVersion": 1}), 404)
    problem(shop.admin().post("/api/orders", {"cartId": buyer.id, "cartVersion": version + 1}), 404)
    for body in (
        {"cartId": buyer.id},
        {"cartVersion": 1},
        {"cartId": buyer.id, "cartVersion": version + 1, "productId": product["id"], "quantity": 1},
        {"cartId": buyer.id, "cartVersion": version + 1, "items": [{"productId": product["id"], "quantity": 1}]},
    ):
        assert refused_fields(buyer.post("/api/orders", body)) == ["items"]
    assert buyer.items("/api/orders") == []
    assert buyer.delete("/api/carts/mine/items").status_code == 204
    empty = {"cartId": buyer.id, "cartVersion": mine(buyer)["version"]}
    assert refused_fields(buyer.post("/api/orders", empty)) == ["cartId"]


def test_a_cart_is_shown_at_kept_prices_while_products_is_stopped(
    shop: Shop, buyer: Client, product: dict[str, Any]
) -> None:
    version = add(buyer, product, 2)["version"]
    with shop.frozen("products"):
        cart = mine(buyer)
    (line,) = cart["items"]
    assert (line["name"], line["price"], line["quantity"], line["stock"]) == ("Kettle", "10.00", 2, None)
    assert line["problems"] == cart["problems"] == ["price_not_current"]
    assert (cart["total"], cart["version"]) == ("20.00", version)
    eventually(lambda: mine(buyer)["problems"] == [])


def test_an_order_of_a_cart_fails_as_temporary_while_carts_is_stopped(
    shop: Shop, buyer: Client, product: dict[str, Any]
) -> None:
    body = {"cartId": buyer.id, "cartVersion": add(buyer, product)["version"]}
    with shop.frozen("carts"):
        assert "Retry-After" in _unavailable(buyer.post("/api/orders", body, key="k")).headers
    assert buyer.items("/api/orders") == []
    eventually(lambda: buyer.post("/api/orders", body, key="k").status_code == 201)


def _unavailable(response: requests.Response) -> requests.Response:
    problem(response, 503)
    return response


def test_a_rejected_order_leaves_the_cart_as_it_is(shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
    version = add(buyer, product, 2)["version"]
    body = {"cartId": buyer.id, "cartVersion": version, "paymentToken": "tok_declined"}
    order = problem(buyer.post("/api/orders", body), 402)["orderId"]

    def mark() -> str:
        (cart,) = [doc for doc in shop.documents("carts", "carts") if doc["_id"] == buyer.id]
        return str(cart["orders"].get(order, {}).get("state", ""))

    eventually(lambda: mark() == "dropped")
    assert quantities(mine(buyer)) == {product["id"]: 2}


@pytest.mark.embedded
def test_an_abandoned_cart_is_mailed_to_who_agreed_until_one_click(shop: Shop, product: dict[str, Any]) -> None:
    asked, other = shop.shopper(), shop.shopper()
    expect(asked.put(f"/api/users/{asked.id}", {"marketing": True}), 200)
    for person in (asked, other):
        add(person, product, 2)
    eventually(lambda: [doc for doc in shop.documents("notifications", "recipients") if doc.get("marketing")])
    for person in (asked, other):
        plant(shop, change("carts", "carts", person.id, abandonAt="2020-01-01T00:00:00.000Z"))
    (mail,) = eventually(lambda: [*(shop.data / "mail").glob(f"{asked.id}.cart-*.eml")])
    (link,) = re.findall(r"^List-Unsubscribe: <(.+)>$", mail.read_text(), re.MULTILINE)
    assert link.startswith(f"{shop.url}/api/notifications/unsubscribe?token=")
    path, form = link.removeprefix(shop.url), {"List-Unsubscribe": "One-Click"}
    problem(shop.guest().get(path), 405)
    problem(shop.guest().request("POST", f"{path}x", data=form), 422)
    assert expect(asked.get("/api/users/me"), 200)["marketing"] is True
    for _ in range(2):
        assert shop.guest().request("POST", path, data=form).status_code == 200
    eventually(lambda: expect(asked.get("/api/users/me"), 200)["marketing"] is False)
    abandoned = dump.read(shop.place).of("cart.abandoned")
    assert sorted(event.key for event in abandoned) == sorted([asked.id, other.id])
    assert "cart_abandoned" not in [item["kind"] for item in other.items("/api/notifications")]
    assert path.partition("token=")[2] not in shop.log("notifications-web") + shop.log("router")


def test_erasure_and_export_include_the_cart(shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
    add(buyer, product, 2)
    (cart,) = expect(buyer.get("/api/users/me/export"), 200)["services"]["carts"]["carts"]
    assert cart["items"][product["id"]]["quantity"] == 2
    expect(buyer.erase(), 204)
    eventually(lambda: [doc for doc in shop.documents("carts", "carts") if doc["_id"] == buyer.id and doc["erased"]])
    (tombstone,) = [doc for doc in shop.documents("carts", "carts") if doc["_id"] == buyer.id]
    assert product["id"] not in str(tombstone)
