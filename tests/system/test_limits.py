"""Rate limits and expiring reservations, on a platform with settings of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import requests

from chassis import clock
from chassis.web.pacing import INTERVAL_S
from tests.faults.replica import Replica
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem

pytestmark = pytest.mark.any_engine

CONNECTIONS = 8
_addresses = count(1)


def from_address(shop: Shop, service: str, address: str) -> Client:
    """Return an anonymous client whose requests seem to come from this address through the router."""
    return Client(shop.url_of(service), headers={"X-Forwarded-For": address})


def shopper(shop: Shop) -> Client:
    """Return a shopper with an address of their own: this module signs in more often than one address may."""
    client = from_address(shop, "users", f"198.18.{next(_addresses)}.1")
    person = {"email": f"{clock.new_id().lower()}@example.com", "name": "Ada Byron", "password": PASSWORD}
    expect(client.post("/api/users", person), 201)
    client.sign_in(person["email"], PASSWORD)
    client.url = shop.url
    return client


def rate_limit(response: requests.Response, name: str) -> tuple[int, int, int]:
    """Return (quota, remaining, seconds until the reset) from the headers of a response."""
    policy, state = response.headers["RateLimit-Policy"], response.headers["RateLimit"]
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
    responses = [client.post("/api/auth/logout", {"refreshToken": "none"}) for _ in range(101)]
    assert [response.status_code for response in responses] == [401] * 100 + [429]
    refused = responses[-1]
    assert problem(refused, 429)["title"] == "Too many requests"
    assert 0 < int(refused.headers["Retry-After"]) <= 900
    quota, remaining, wait = rate_limit(refused, "anonymous")
    assert (quota, remaining) == (100, 0)
    assert abs(wait - int(refused.headers["Retry-After"])) <= 1
    problem(client.post("/api/users", {}), 429)
    elsewhere = from_address(strict_shop, "users", "198.51.100.2")
    problem(elsewhere.post("/api/users", {}), 422)
    expect(client.get("/api/auth/jwks.json"), 200)


def test_rate_limit_headers_show_the_remaining_quota(strict_shop: Shop) -> None:
    guest, buyer = from_address(strict_shop, "users", "198.51.100.3"), shopper(strict_shop)
    first, second = (rate_limit(guest.post("/api/auth/logout", {"refreshToken": "x"}), "anonymous") for _ in range(2))
    assert (first[:2], second[:2]) == ((100, 99), (100, 98))
    quota, left, _ = rate_limit(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada"}), "user")
    assert quota > 100
    assert 0 < left < quota
    assert rate_limit(buyer.get("/api/users/me"), "read")[0] > quota
    for refused in (guest.post("/api/users", {}), buyer.get("/api/users/none")):
        assert refused.headers.keys() >= {"RateLimit", "RateLimit-Policy"}


def test_guesses_of_the_current_password_are_limited(strict_shop: Shop) -> None:
    """Else the holder of a stolen access token would find the password, and with it own the account."""
    buyer = shopper(strict_shop)
    body = {"email": f"thief-{buyer.email}", "currentPassword": "a wrong guess"}
    statuses = [buyer.put(f"/api/users/{buyer.id}", body).status_code for _ in range(21)]
    assert statuses == [403] * 20 + [429]
    problem(buyer.delete(f"/api/users/{buyer.id}", json={"currentPassword": buyer.password}), 429)
    expect(buyer.put(f"/api/users/{buyer.id}", {"name": "Ada"}), 200)


def test_a_stolen_token_does_not_use_up_the_limits_of_the_owner(strict_shop: Shop) -> None:
    """Else its holder could keep the owner from setting a new password, and an administrator from signing in."""
    owner = shopper(strict_shop)
    thief = strict_shop.guest().sign_in(owner.email, owner.password)
    path = f"/api/users/{owner.id}"
    without = [thief.put(path, {"email": f"thief-{owner.email}"}).status_code for _ in range(31)]
    assert without == [403] * 31
    guesses = [thief.delete(path, json={"currentPassword": "a wrong guess"}).status_code for _ in range(21)]
    assert guesses == [403] * 20 + [429]
    expect(owner.change_credentials(password=f"new {owner.password}"), 200)
    problem(thief.get("/api/users/me"), 401)


def test_a_client_cannot_forge_its_address(strict_shop: Shop) -> None:
    left = []
    for number in range(2):
        client = Client(strict_shop.url, headers={"X-Forwarded-For": f"203.0.113.{number}"})
        left.append(rate_limit(client.post("/api/auth/logout", {"refreshToken": "none"}), "anonymous")[1])
    assert left[1] == left[0] - 1


def test_password_guessing_is_limited_without_locking_out_others(strict_shop: Shop) -> None:
    victim = shopper(strict_shop)
    guesser = from_address(strict_shop, "users", "198.51.100.4")
    assert guess(guesser, victim.email, 6) == [401] * 5 + [429]
    assert guess(guesser, victim.email.upper(), 1) == [429]
    from_address(strict_shop, "users", "198.51.100.5").sign_in(victim.email, "correct horse battery")


def test_guessing_on_many_accounts_is_limited_by_address(strict_shop: Shop) -> None:
    guesser = from_address(strict_shop, "users", "198.51.100.6")
    responses = [guess(guesser, f"user{number}@example.com", 1)[0] for number in range(21)]
    assert responses == [401] * 20 + [429]


def test_guessing_from_many_addresses_delays_all_but_known_ones(strict_shop: Shop) -> None:
    victim = strict_shop.shopper()
    for number in range(4):
        assert guess(from_address(strict_shop, "users", f"198.51.100.{40 + number}"), victim.email, 5) == [401] * 5
    elsewhere = from_address(strict_shop, "users", "198.51.100.50")
    credentials = {"email": victim.email, "password": victim.password}
    delayed = elsewhere.post("/api/auth/login", credentials)
    assert problem(delayed, 429)["type"] == "/problems/too-many-failures"
    assert 0 < int(delayed.headers["Retry-After"]) <= 900
    expect(strict_shop.guest().post("/api/auth/login", credentials), 200)
    expect(elsewhere.post("/api/auth/refresh", {"refreshToken": victim.refresh_token}), 200)
    unknown = f"{clock.new_id().lower()}@example.com"
    for number in range(4):
        guess(from_address(strict_shop, "users", f"198.51.100.{60 + number}"), unknown, 5)
    assert guess(elsewhere, unknown, 1) == [429]


def test_addresses_of_one_ipv6_network_are_one_client(strict_shop: Shop) -> None:
    email = f"{clock.new_id().lower()}@example.com"
    inside = [from_address(strict_shop, "users", f"2001:db8:1:1:{number:x}::1") for number in range(6)]
    assert [guess(client, email, 1)[0] for client in inside] == [401] * 5 + [429]
    assert guess(from_address(strict_shop, "users", "2001:db8:1:2::1"), email, 1) == [401]


def test_requests_with_an_invalid_token_are_limited_by_address(strict_shop: Shop) -> None:
    client = from_address(strict_shop, "orders", "198.51.100.70")
    client.token = "none"
    statuses = [client.post("/api/orders", {}).status_code for _ in range(101)]
    assert statuses == [401] * 100 + [429]
    expect(from_address(strict_shop, "orders", "198.51.100.70").get("/api/orders/health"), 200)


@pytest.mark.parametrize("through", ["proxy", "router"])
def test_a_caller_above_its_limit_is_paced_and_others_are_not(strict_shop: Shop, through: str) -> None:
    """The refusals have an upper bound on any machine: one for each interval, and the first one of each connection."""

    def connect(token: str, address: str) -> Client:
        if through == "router":
            return Client(strict_shop.url, token)
        return Client(strict_shop.url_of("products"), token, {"X-Forwarded-For": address})

    abuser, other = connect("expired", "198.51.100.80"), connect("", "198.51.100.81")
    statuses = [abuser.put("/api/products/none", {}).status_code for _ in range(101)]
    assert statuses == [401] * 100 + [429]
    began, stopped = clock.monotonic(), threading.Event()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        refused = [pool.submit(refusals, connect("expired", "198.51.100.80"), stopped) for _ in range(CONNECTIONS)]
        try:
            for _ in range(50):
                expect(other.get("/api/products?limit=1"), 200)
        finally:
            stopped.set()
    assert 0 < sum(each.result() for each in refused) <= (clock.monotonic() - began) / INTERVAL_S + 2 * CONNECTIONS


def refusals(client: Client, stopped: threading.Event) -> int:
    """Send requests until `stopped` is set. Return how many; each must get a 429."""
    count = 0
    while not stopped.is_set():
        problem(client.put("/api/products/none", {}), 429)
        count += 1
    return count


def test_creating_carts_is_limited_by_address(strict_shop: Shop) -> None:
    """Else one client could fill the database with carts of guests that do not exist."""
    before = {cart["_id"] for cart in strict_shop.documents("carts", "carts")}
    client = from_address(strict_shop, "carts", "198.51.100.90")
    created = [client.post("/api/carts") for _ in range(101)]
    assert [response.status_code for response in created] == [201] * 100 + [429]
    assert rate_limit(created[-1], "anonymous")[:2] == (100, 0)
    first = created[0].json()
    mine = {"headers": {"Cart-Token": first["token"]}}
    expect(client.get(f"/api/carts/{first['id']}", **mine), 200)
    expect(from_address(strict_shop, "carts", "198.51.100.91").post("/api/carts"), 201)
    buyer = from_address(strict_shop, "carts", "198.51.100.90")
    buyer.token = shopper(strict_shop).token
    product = strict_shop.product()["id"]
    expect(buyer.post("/api/carts/mine/items", {"productId": product, "quantity": 1}), 200)
    kept = {cart["_id"] for cart in strict_shop.documents("carts", "carts")}
    assert kept - before >= {response.json()["id"] for response in created[:100]}
    assert len(kept - before) == 102, "those two, and none for the refused request"


def has_expired(shop: Shop, order: str) -> bool:
    """Return whether the reservation of an order has expired, and its units are available again."""
    found = next(doc for doc in shop.documents("inventory", "reservations") if doc["_id"] == order)
    return bool(found["expired"]) and found["status"] == "released"


def test_an_expired_reservation_is_reserved_again(strict_shop: Shop) -> None:
    buyer, product = shopper(strict_shop), strict_shop.product(stock=1)
    with strict_shop.frozen("payments"):
        order = expect(buyer.order(product), 202)["id"]
        with strict_shop.frozen("orders"):
            eventually(lambda: has_expired(strict_shop, order))
            assert strict_shop.stock(product) == (1, 0, 0)
    assert buyer.final_order(order)["status"] == "confirmed"
    assert strict_shop.stock(product) == (0, 0, 1)


def test_a_payment_is_refunded_when_expired_units_are_gone(strict_shop: Shop) -> None:
    admin, buyer, product = strict_shop.admin(), shopper(strict_shop), strict_shop.product(stock=1)
    with strict_shop.frozen("payments"):
        order = expect(buyer.order(product), 202)["id"]
        with strict_shop.frozen("orders"):
            eventually(lambda: has_expired(strict_shop, order))
            expect(admin.patch(f"/api/products/{product['id']}/stock", {"adjustment": -1}), 200)
    ended = buyer.final_order(order)
    assert (ended["status"], ended["reason"]) == ("rejected", "insufficient_stock")
    assert strict_shop.stock(product) == (0, 0, 0)
    (payment,) = buyer.items(f"/api/payments?orderId={order}")
    assert payment["status"] == "refunded"
    assert strict_shop.captures(order) == [(1000, 1000)]


def test_replicas_share_the_sign_in_limit(strict_shop: Shop) -> None:
    email = shopper(strict_shop).email
    with Replica(strict_shop, "users", "web") as replica:
        first = from_address(strict_shop, "users", "198.51.100.77")
        second = Client(replica.url, headers={"X-Forwarded-For": "198.51.100.77"})
        statuses = [guess(client, email, 1)[0] for client in (first, second) * 4]
    assert statuses == [401] * 5 + [429] * 3


def test_a_sixth_open_checkout_gets_429(strict_shop: Shop) -> None:
    product, buyer, other = strict_shop.product(stock=50), shopper(strict_shop), shopper(strict_shop)
    with strict_shop.frozen("payments"):
        placed = [buyer.order(product, key=f"open-{number}") for number in range(6)]
        assert [response.status_code for response in placed] == [202] * 5 + [429]
        assert problem(placed[5], 429)["type"] == "/problems/too-many-open"
        assert placed[5].headers["Retry-After"] == "1"
        assert other.order(product).status_code == 202
        assert buyer.order(product, key="open-0").status_code == 202
    for response in placed[:5]:
        assert buyer.final_order(response.json()["id"])["status"] == "confirmed"
    assert buyer.order(product, key="open-5").status_code in (201, 202)


def rejected_order(buyer: Client, response: requests.Response) -> tuple[str, str]:
    """Return (id, reason) of an order that is rejected, at once or a little later."""
    body = response.json()
    order = buyer.final_order(body["id"] if response.ok else body["orderId"])
    assert order["status"] == "rejected"
    return order["id"], order["reason"]


def test_declined_payments_make_the_next_order_wait(strict_shop: Shop) -> None:
    product, buyer, other = strict_shop.product(stock=50), shopper(strict_shop), shopper(strict_shop)
    for _ in range(3):
        declined = buyer.order(product, paymentToken="tok_declined")
        assert rejected_order(buyer, declined)[1] == "payment_declined"
    key = clock.new_id()
    refused, again = (buyer.order(product, key=key) for _ in range(2))
    assert (again.status_code, again.content) == (refused.status_code, refused.content), "a rejected order is replayed"
    order, reason = rejected_order(buyer, refused)
    assert reason == "too_many_declines"
    assert strict_shop.captures(order) == []
    other.buy(product)
    assert strict_shop.stock(product) == (49, 0, 1)


def test_one_account_cannot_order_more_units_than_its_quota(strict_shop: Shop) -> None:
    product, buyer = strict_shop.product(stock=10_100, price="0.01"), shopper(strict_shop)
    problem(buyer.order(product, 10_001), 422)
    rejected_order(buyer, buyer.order(product, 10_000, paymentToken="tok_declined"))
    order = eventually(lambda: (placed := buyer.order(product, 10_000)).ok and placed.json())
    assert buyer.final_order(order["id"])["status"] == "confirmed", "a rejected order does not count"
    refused = buyer.order(product, 1)
    assert problem(refused, 429)["productId"] == product["id"]
    assert int(refused.headers["Retry-After"]) > 0
    problem(buyer.post("/api/orders", {"productId": "none", "quantity": 1}), 422)
    expect(buyer.post(f"/api/orders/{order['id']}/cancel"), 200)
    assert buyer.order(product, 1).status_code == 429, "a canceled order counts on"
    shopper(strict_shop).buy(product, 100)


def test_who_cancels_again_and_again_leaves_the_stock_to_others(strict_shop: Shop) -> None:
    product, buyer = strict_shop.product(stock=3), shopper(strict_shop)
    for _ in range(3):
        order = buyer.buy(product, 3)
        expect(buyer.post(f"/api/orders/{order['id']}/cancel"), 200)
        expect(buyer.post(f"/api/orders/{order['id']}/cancel"), 200)
        eventually(lambda: strict_shop.stock(product) == (3, 0, 0))
    assert problem(buyer.order(product, 3), 429)["type"] == "/problems/quota-exceeded"
    shopper(strict_shop).buy(product, 3)


def test_an_eleventh_cancel_in_an_hour_gets_429(strict_shop: Shop) -> None:
    buyer, admin = shopper(strict_shop), strict_shop.admin()
    orders = [buyer.buy(strict_shop.product())["id"] for _ in range(11)]
    responses = [buyer.post(f"/api/orders/{order}/cancel") for order in orders]
    assert [response.status_code for response in responses] == [200] * 10 + [429]
    assert problem(responses[-1], 429)["type"] == "/problems/too-many-cancels"
    assert int(responses[-1].headers["Retry-After"]) > 3000
    assert expect(buyer.get(f"/api/orders/{orders[-1]}"), 200)["status"] == "confirmed"
    assert buyer.post(f"/api/orders/{orders[0]}/cancel").status_code == 200
    expect(admin.post(f"/api/orders/{orders[-1]}/cancel"), 200)


@pytest.mark.parametrize(("route", "address"), [("verifications", "198.51.100.31"), ("resets", "198.51.100.32")])
def test_requests_for_mails_are_limited(strict_shop: Shop, route: str, address: str) -> None:
    guest = from_address(strict_shop, "users", address)
    email = f"{clock.new_id().lower()}@example.com"
    for _ in range(5):
        expect(guest.post(f"/api/auth/{route}", {"email": email}), 202)
    problem(guest.post(f"/api/auth/{route}", {"email": email.upper()}), 429)
    expect(guest.post(f"/api/auth/{route}", {"email": f"not.{email}"}), 202)


def test_order_whose_buyer_never_answers_the_bank_is_rejected_and_holds_nothing(strict_shop: Shop) -> None:
    buyer, product = shopper(strict_shop), strict_shop.product(stock=3)
    order = expect(buyer.order(product, paymentToken="tok_action"), 202)["id"]
    done = buyer.final_order(order)
    assert (done["status"], done["reason"], done["action"]) == ("rejected", "payment_declined", None)
    buyer.post(f"/api/payments/bank/{order}/approve", allow_redirects=False)
    assert strict_shop.captures(order) == [(0, 0)]
    assert strict_shop.stock(product) == (3, 0, 0)
