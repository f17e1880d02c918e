"""`Idempotency-Key`: a repeated write runs once and gets the same response."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from chassis import clock
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem

REPLAYED = "Idempotent-Replayed"


def is_replay(first: requests.Response, again: requests.Response) -> bool:
    """Return whether the second response is a replay of the first."""
    assert REPLAYED not in first.headers
    kept = ("Content-Type", "Location", "ETag")
    return (
        again.headers.get(REPLAYED) == "true"
        and (first.status_code, first.content) == (again.status_code, again.content)
        and all(first.headers.get(name) == again.headers.get(name) for name in kept)
    )


def test_a_repeated_order_is_placed_once(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(stock=9), clock.new_id()
    first, *again = [buyer.order(product, 2, key=key) for _ in range(3)]
    assert all(is_replay(first, response) for response in again)
    assert [order["id"] for order in buyer.items("/api/orders")] == [first.json()["id"]]
    assert shop.stock(product) == (7, 0, 2)


@pytest.mark.parametrize("token", ["tok_declined", "tok_slow"])
def test_a_response_other_than_201_is_replayed(shop: Shop, buyer: Client, token: str) -> None:
    product, key = shop.product(), clock.new_id()
    first = buyer.order(product, key=key, paymentToken=token)
    assert first.status_code in (402, 202)
    assert is_replay(first, buyer.order(product, key=key, paymentToken=token))
    assert len(buyer.items("/api/orders")) == 1


def test_an_error_is_replayed_after_its_cause_is_gone(shop: Shop, admin: Client, buyer: Client) -> None:
    product, key = shop.product(stock=0), clock.new_id()
    first = buyer.order(product, key=key)
    assert problem(first, 409)["title"] == "Insufficient stock"
    expect(admin.patch(f"/api/products/{product['id']}/stock", {"adjustment": 5}), 200)
    assert is_replay(first, buyer.order(product, key=key))
    buyer.buy(product)


def test_an_error_that_changed_nothing_frees_its_key(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(), clock.new_id()
    first, again = (buyer.order({"id": "none"}, key=key) for _ in range(2))
    assert (problem(first, 422)["type"], problem(again, 422)["type"]) == ("/problems/invalid",) * 2
    assert REPLAYED not in again.headers
    expect(buyer.order(product, key=key), 201)
    assert len(buyer.items("/api/orders")) == 1


def test_a_key_with_another_body_gets_422(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(), clock.new_id()
    expect(buyer.order(product, 1, key=key), 201)
    assert problem(buyer.order(product, 2, key=key), 422)["type"] == "/problems/key-reused"
    assert len(buyer.items("/api/orders")) == 1


def test_a_key_in_use_gets_409(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(), clock.new_id()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Client(shop.url, buyer.token).order, product, key=key, paymentToken="tok_slow")
        eventually(lambda: buyer.items("/api/orders"))
        again = buyer.order(product, key=key, paymentToken="tok_slow")
        assert problem(again, 409)["type"] == "/problems/key-in-use"
        assert expect(first.result(), 202)["status"] == "pending"
    assert is_replay(first.result(), buyer.order(product, key=key, paymentToken="tok_slow"))


def test_concurrent_requests_with_one_key_run_once(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(stock=50), clock.new_id()
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: Client(shop.url, buyer.token).order(product, key=key), range(8)))
    assert {response.status_code for response in responses} <= {201, 202, 409}
    made = {response.json()["id"] for response in responses if response.status_code != 409}
    assert made == {order["id"] for order in buyer.items("/api/orders")}
    assert len(made) == 1


def test_two_users_may_use_the_same_key(shop: Shop, buyer: Client) -> None:
    product, key, other = shop.product(), clock.new_id(), shop.shopper()
    orders = [expect(client.order(product, key=key), 201) for client in (buyer, other)]
    assert [order["userId"] for order in orders] == [buyer.id, other.id]


def test_two_operations_may_use_the_same_key(shop: Shop, admin: Client) -> None:
    first, second = (f"/api/products/{shop.product(stock=1)['id']}/stock" for _ in range(2))
    key = clock.new_id()
    for path in (first, second):
        response = admin.patch(path, {"adjustment": 1}, key=key)
        assert expect(response, 200)["stock"] == 2
        assert REPLAYED not in response.headers


def test_a_repeated_sign_up_creates_one_account(guest: Client) -> None:
    person = {"email": f"{clock.new_id().lower()}@example.com", "name": "Ada", "password": PASSWORD}
    key = clock.new_id()
    first, again = (guest.post("/api/users", person, key=key) for _ in range(2))
    expect(first, 201)
    assert is_replay(first, again)
    assert problem(guest.post("/api/users", person), 409)["title"] == "Email already exists"


def test_changes_and_deletions_are_replayed(shop: Shop, admin: Client) -> None:
    path = f"/api/products/{shop.product()['id']}"
    key = clock.new_id()
    assert is_replay(admin.put(path, {"name": "New"}, key=key), admin.put(path, {"name": "New"}, key=key))
    first, again = (admin.delete(path, key=key) for _ in range(2))
    expect(first, 204)
    assert is_replay(first, again)


def test_sign_in_ignores_the_key(guest: Client, buyer: Client) -> None:
    credentials = {"email": buyer.email, "password": PASSWORD}
    key = clock.new_id()
    responses = [guest.post("/api/auth/login", credentials, key=key) for _ in range(2)]
    assert len({expect(response, 200)["refreshToken"] for response in responses}) == 2
    assert all(REPLAYED not in response.headers for response in responses)


def test_a_key_above_255_characters_is_rejected(shop: Shop, buyer: Client) -> None:
    product = shop.product()
    expect(buyer.order(product, key="k" * 255), 201)
    problem(buyer.order(product, key="k" * 256), 400)
    assert len(buyer.items("/api/orders")) == 1
