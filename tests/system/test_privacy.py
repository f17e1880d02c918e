"""Erasure: a deleted user leaves no personal data in any file, and cannot buy anything."""

from pathlib import Path

import pytest

from chassis import clock
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem


def files_with(shop: Shop, canary: str) -> list[str]:
    """Return the files of DATA_DIR that contain this word, except the bus: it keeps user events for seven days."""
    found = [path for path in data_files(shop) if canary.encode() in path.read_bytes().lower()]
    return sorted({str(path.relative_to(shop.data)).removesuffix("-wal") for path in found})


def data_files(shop: Shop) -> list[Path]:
    return [path for path in shop.data.rglob("*") if path.is_file() and not path.name.startswith("bus.db")]


def is_erased_everywhere(shop: Shop, user: str) -> bool:
    """Return whether every service with data of the user has finished the erasure."""
    recipients = [doc for doc in shop.documents("notifications", "recipients") if doc["_id"] == user]
    notifications = [doc for doc in shop.documents("notifications", "notifications") if doc["userId"] == user]
    account = next(doc for doc in shop.documents("users", "accounts") if doc["_id"] == user)
    done = recipients and recipients[0]["erased"] and not recipients[0]["erasurePending"] and not notifications
    return bool(done and not account["pending"] and not account["erasurePending"])


@pytest.mark.embedded
def test_an_erased_user_leaves_no_trace_on_disk(shop: Shop, admin: Client, guest: Client) -> None:
    canary = f"canary{clock.new_id().lower()}"
    person = {"email": f"{canary}@example.com", "name": f"{canary} Smith", "password": PASSWORD}
    user = expect(guest.post("/api/users", person, key=clock.new_id()), 201)["id"]
    buyer = shop.guest().sign_in(person["email"], PASSWORD)
    product = shop.product()
    order = buyer.buy(product)["id"]
    problem(buyer.order(product, paymentToken="tok_declined", key=clock.new_id()), 402)
    path = f"/api/users/{user}"
    expect(buyer.put(path, {"name": f"{canary} Jones"}, key=clock.new_id()), 200)
    expect(admin.put(path, {"name": f"{canary} Brown"}, key=clock.new_id()), 200)
    problem(guest.post("/api/users", person, key=clock.new_id()), 409)
    problem(guest.post("/api/auth/login", {"email": person["email"], "password": "not this one"}), 401)
    eventually(lambda: len(buyer.items("/api/notifications")) == 3)
    holders = [name for name in files_with(shop, canary) if not name.startswith("mail/")]
    assert holders == ["store/notifications.db", "store/users.db"]

    expect(buyer.erase(), 204)
    eventually(lambda: is_erased_everywhere(shop, user))
    eventually(lambda: files_with(shop, canary) == [])
    assert expect(admin.get(f"/api/orders/{order}"), 200)["userId"] == user


def test_an_erased_user_cannot_buy_with_a_valid_token(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=3)
    expect(buyer.erase(), 204)
    refused = buyer.order(product)
    assert refused.status_code == 401 or problem(refused, 403)["title"] == "Buyer unknown"
    assert shop.stock(product) == (3, 0, 0)
    problem(buyer.put(f"/api/users/{buyer.id}", {"name": "Back again"}), 401)
    for path in ("/api/orders", "/api/payments", "/api/notifications"):
        eventually(lambda path=path: buyer.get(path).status_code == 401)


def test_a_pending_order_survives_the_erasure_of_its_buyer(shop: Shop, admin: Client, buyer: Client) -> None:
    order = expect(buyer.order(shop.product(), paymentToken="tok_slow"), 202)["id"]
    expect(buyer.erase(), 204)
    assert admin.final_order(order)["status"] == "confirmed"
    eventually(lambda: is_erased_everywhere(shop, buyer.id))


@pytest.mark.embedded
def test_no_customer_secret_is_written_to_disk(shop: Shop, guest: Client) -> None:
    password, card = f"secret{clock.new_id().lower()}", f"tok_{clock.new_id()}"
    buyer = shop.shopper(password=password)
    problem(buyer.order(shop.product(), paymentToken=card, key=clock.new_id()), 402)
    expect(guest.post("/api/auth/refresh", {"refreshToken": buyer.refresh_token}), 200)
    eventually(lambda: files_with(shop, card.lower()) == [])  # it was stored while the checkout was open
    for secret in (password, card.lower(), buyer.token.lower(), buyer.refresh_token.lower()):
        assert files_with(shop, secret) == []
        assert not any(secret.encode() in path.read_bytes().lower() for path in shop.data.glob("bus.db*"))
