"""Rate limits, and reservations that expire: on a platform of their own, whose settings would disturb the others."""

import requests

from tests.faults.replica import Replica
from tests.system.platform import Client, Shop, eventually, expect, problem


def from_address(shop: Shop, service: str, address: str) -> Client:
    """Nobody, asking a service as if the router had forwarded it from this address."""
    return Client(shop.at(service), headers={"X-Forwarded-For": address})


def allowed(answer: requests.Response, name: str) -> tuple[int, int, int]:
    """(quota, remaining, seconds until more) of one limit, as an answer tells them."""
    policy, state = answer.headers["RateLimit-Policy"], answer.headers["RateLimit"]
    assert policy.startswith(f'"{name}";q=')
    assert state.startswith(f'"{name}";r=')
    quota = int(policy.split(";")[1][2:])
    remaining, wait = (int(part[2:]) for part in state.split(";")[1:])
    return quota, remaining, wait


def guess(client: Client, email: str, times: int) -> list[int]:
    credentials = {"email": email, "password": "a wrong guess"}
    return [client.post("/api/auth/login", credentials).status_code for _ in range(times)]


def test_anonymous_writes_are_limited_by_address(strict_shop: Shop) -> None:
    client = from_address(strict_shop, "users", "198.51.100.1")
    answers = [client.post("/api/auth/logout", {"refreshToken": "none"}) for _ in range(101)]
    assert [answer.status_code for answer in answers] == [401] * 100 + [429]
    refused = answers[-1]
    assert problem(refused, 429)["title"] == "Too many requests"
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    quota, remaining, wait = allowed(refused, "anonymous")
    assert (quota, remaining) == (100, 0)
    assert abs(wait - int(refused.headers["Retry-After"])) <= 1
    problem(client.post("/api/users", {}), 429)
    elsewhere = from_address(strict_shop, "users", "198.51.100.2")
    problem(elsewhere.post("/api/users", {}), 422)
    expect(client.get("/api/auth/jwks.json"), 200)


def test_every_limited_answer_tells_what_is_left(strict_shop: Shop) -> None:
    nobody, buyer = from_address(strict_shop, "users", "198.51.100.3"), strict_shop.shopper()
    first, second = (allowed(nobody.post("/api/auth/logout", {"refreshToken": "x"}), "anonymous") for _ in range(2))
    assert (first[:2], second[:2]) == ((100, 99), (100, 98))
    quota, left, _ = allowed(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada"}), "user")
    assert quota > 100
    assert 0 < left < quota
    assert allowed(buyer.get("/api/users/me"), "read")[0] > quota
    for refused in (nobody.post("/api/users", {}), buyer.get("/api/users/none")):
        assert refused.headers.keys() >= {"RateLimit", "RateLimit-Policy"}


def test_a_client_cannot_choose_the_address_it_is_counted_under(strict_shop: Shop) -> None:
    left = []
    for number in range(2):
        client = Client(strict_shop.url, headers={"X-Forwarded-For": f"203.0.113.{number}"})
        left.append(allowed(client.post("/api/auth/logout", {"refreshToken": "none"}), "anonymous")[1])
    assert left[1] == left[0] - 1


def test_guessing_a_password_is_limited_and_locks_out_nobody_else(strict_shop: Shop) -> None:
    victim = strict_shop.shopper()
    guesser = from_address(strict_shop, "users", "198.51.100.4")
    assert guess(guesser, victim.email, 6) == [401] * 5 + [429]
    assert guess(guesser, victim.email.upper(), 1) == [429]
    from_address(strict_shop, "users", "198.51.100.5").sign_in(victim.email, "correct horse battery")


def test_guessing_at_many_accounts_is_limited_by_address(strict_shop: Shop) -> None:
    guesser = from_address(strict_shop, "users", "198.51.100.6")
    answers = [guess(guesser, f"user{number}@example.com", 1)[0] for number in range(21)]
    assert answers == [401] * 20 + [429]


def test_a_reservation_that_nobody_renews_expires_and_is_taken_again(strict_shop: Shop) -> None:
    buyer, product = strict_shop.shopper(), strict_shop.product(stock=1)
    order = expect(buyer.order(product, paymentToken="tok_slow"), 202)["id"]
    assert strict_shop.stock(product) == (0, 1, 0)
    with strict_shop.frozen("orders"):
        eventually(lambda: strict_shop.stock(product) == (1, 0, 0))
    assert buyer.final(order)["status"] == "confirmed"
    assert strict_shop.stock(product) == (0, 0, 1)


def test_a_payment_whose_units_are_gone_meanwhile_is_refunded(strict_shop: Shop) -> None:
    admin, buyer, product = strict_shop.admin(), strict_shop.shopper(), strict_shop.product(stock=1)
    order = expect(buyer.order(product, paymentToken="tok_slow"), 202)["id"]
    with strict_shop.frozen("orders"):
        eventually(lambda: strict_shop.stock(product) == (1, 0, 0))
        expect(admin.patch(f"/api/products/{product['id']}/stock", {"adjustment": -1}), 200)
    ended = buyer.final(order)
    assert (ended["status"], ended["reason"]) == ("rejected", "insufficient_stock")
    assert strict_shop.stock(product) == (0, 0, 0)
    (payment,) = buyer.items(f"/api/payments?orderId={order}")
    assert payment["status"] == "refunded"
    assert strict_shop.captures(order) == [(1000, 1000)]


def test_guesses_are_counted_by_all_replicas_together(strict_shop: Shop) -> None:
    email = strict_shop.shopper().email
    with Replica(strict_shop, "users", "web") as twin:
        first = from_address(strict_shop, "users", "198.51.100.77")
        second = Client(twin.url, headers={"X-Forwarded-For": "198.51.100.77"})
        statuses = [guess(client, email, 1)[0] for client in (first, second) * 4]
    assert statuses == [401] * 5 + [429] * 3


def test_a_user_has_five_checkouts_open_at_most(strict_shop: Shop) -> None:
    product, buyer, other = strict_shop.product(stock=50), strict_shop.shopper(), strict_shop.shopper()
    with strict_shop.frozen("payments"):
        placed = [buyer.order(product, key=f"open-{number}") for number in range(6)]
        assert [answer.status_code for answer in placed] == [202] * 5 + [429]
        assert problem(placed[5], 429)["type"] == "/problems/too-many-open"
        assert placed[5].headers["Retry-After"] == "1"
        assert other.order(product).status_code == 202
        assert buyer.order(product, key="open-0").status_code == 202
    for answer in placed[:5]:
        assert buyer.final(answer.json()["id"])["status"] == "confirmed"
    assert buyer.order(product, key="open-5").status_code in (201, 202)
