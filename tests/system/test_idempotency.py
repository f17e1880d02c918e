"""`Idempotency-Key`: a write that is repeated is answered again, and done once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from chassis import clock
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem

REPLAYED = "Idempotent-Replayed"


def same(first: requests.Response, again: requests.Response) -> bool:
    """Whether the second answer is a replay of the first."""
    assert REPLAYED not in first.headers
    kept = ("Content-Type", "Location", "ETag")
    return (
        again.headers.get(REPLAYED) == "true"
        and (first.status_code, first.content) == (again.status_code, again.content)
        and all(first.headers.get(name) == again.headers.get(name) for name in kept)
    )


def test_an_order_that_is_sent_again_is_placed_once(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(stock=9), clock.new_id()
    first, *again = [buyer.order(product, 2, key=key) for _ in range(3)]
    assert all(same(first, answer) for answer in again)
    assert [order["id"] for order in buyer.items("/api/orders")] == [first.json()["id"]]
    assert shop.stock(product) == (7, 0, 2)


@pytest.mark.parametrize("token", ["tok_declined", "tok_slow"])
def test_an_answer_that_is_no_201_is_replayed_too(shop: Shop, buyer: Client, token: str) -> None:
    product, key = shop.product(), clock.new_id()
    first = buyer.order(product, key=key, paymentToken=token)
    assert first.status_code in (402, 202)
    assert same(first, buyer.order(product, key=key, paymentToken=token))
    assert len(buyer.items("/api/orders")) == 1


def test_an_error_is_replayed_though_it_would_no_longer_be_one(shop: Shop, admin: Client, buyer: Client) -> None:
    product, key = shop.product(stock=0), clock.new_id()
    first = buyer.order(product, key=key)
    assert problem(first, 409)["title"] == "Insufficient stock"
    expect(admin.patch(f"/api/products/{product['id']}/stock", {"adjustment": 5}), 200)
    assert same(first, buyer.order(product, key=key))
    buyer.buy(product)


def test_a_key_with_another_body_is_refused(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(), clock.new_id()
    expect(buyer.order(product, 1, key=key), 201)
    assert problem(buyer.order(product, 2, key=key), 422)["type"] == "/problems/key-reused"
    assert len(buyer.items("/api/orders")) == 1


def test_a_key_whose_request_still_runs_is_refused(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(), clock.new_id()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(Client(shop.url, buyer.token).order, product, key=key, paymentToken="tok_slow")
        eventually(lambda: buyer.items("/api/orders"))
        again = buyer.order(product, key=key, paymentToken="tok_slow")
        assert problem(again, 409)["type"] == "/problems/key-in-use"
        assert expect(first.result(), 202)["status"] == "pending"
    assert same(first.result(), buyer.order(product, key=key, paymentToken="tok_slow"))


def test_of_many_requests_at_once_with_one_key_one_is_carried_out(shop: Shop, buyer: Client) -> None:
    product, key = shop.product(stock=50), clock.new_id()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: Client(shop.url, buyer.token).order(product, key=key), range(8)))
    assert {answer.status_code for answer in answers} <= {201, 202, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code != 409}
    assert made == {order["id"] for order in buyer.items("/api/orders")}
    assert len(made) == 1


def test_a_key_belongs_to_its_user(shop: Shop, buyer: Client) -> None:
    product, key, other = shop.product(), clock.new_id(), shop.shopper()
    orders = [expect(client.order(product, key=key), 201) for client in (buyer, other)]
    assert [order["userId"] for order in orders] == [buyer.id, other.id]


def test_a_key_belongs_to_its_operation(shop: Shop, admin: Client) -> None:
    first, second = (f"/api/products/{shop.product(stock=1)['id']}/stock" for _ in range(2))
    key = clock.new_id()
    for path in (first, second):
        answer = admin.patch(path, {"adjustment": 1}, key=key)
        assert expect(answer, 200)["stock"] == 2
        assert REPLAYED not in answer.headers


def test_a_sign_up_that_is_sent_again_makes_one_account(nobody: Client) -> None:
    person = {"email": f"{clock.new_id().lower()}@example.com", "name": "Ada", "password": PASSWORD}
    key = clock.new_id()
    first, again = (nobody.post("/api/users", person, key=key) for _ in range(2))
    expect(first, 201)
    assert same(first, again)
    assert problem(nobody.post("/api/users", person), 409)["title"] == "Email already exists"


def test_changes_and_deletions_are_replayed(shop: Shop, admin: Client) -> None:
    path = f"/api/products/{shop.product()['id']}"
    key = clock.new_id()
    assert same(admin.put(path, {"name": "New"}, key=key), admin.put(path, {"name": "New"}, key=key))
    first, again = (admin.delete(path, key=key) for _ in range(2))
    expect(first, 204)
    assert same(first, again)


def test_signing_in_ignores_the_key(nobody: Client, buyer: Client) -> None:
    credentials = {"email": buyer.email, "password": PASSWORD}
    key = clock.new_id()
    answers = [nobody.post("/api/auth/login", credentials, key=key) for _ in range(2)]
    assert len({expect(answer, 200)["refreshToken"] for answer in answers}) == 2
    assert all(REPLAYED not in answer.headers for answer in answers)


def test_a_key_has_at_most_255_characters(shop: Shop, buyer: Client) -> None:
    product = shop.product()
    expect(buyer.order(product, key="k" * 255), 201)
    problem(buyer.order(product, key="k" * 256), 400)
    assert len(buyer.items("/api/orders")) == 1
