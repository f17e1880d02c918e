"""`/api/notifications`: each event notifies its user once; mails are files where there is no mail server."""

import re
import stat
from pathlib import Path

import pytest

from chassis import clock
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect, problem


def kinds(client: Client) -> list[str]:
    return [item["kind"] for item in client.items("/api/notifications")]


def expect_kinds(client: Client, *expected: str) -> None:
    """Wait for these notifications and no others, in any order: topics are not ordered among each other."""
    eventually(lambda: len(kinds(client)) >= len(expected))
    assert sorted(kinds(client)) == sorted(expected)


def test_a_new_shopper_is_welcomed_once(buyer: Client) -> None:
    expect_kinds(buyer, "welcome")
    (welcome,) = buyer.items("/api/notifications")
    assert welcome.keys() == {"id", "kind", "subject", "body", "channel", "status", "createdAt"}
    assert (welcome["channel"], welcome["status"]) == ("record", "sent")
    assert welcome["subject"]
    assert welcome["body"]


def test_each_status_of_an_order_notifies_once(shop: Shop, admin: Client, buyer: Client) -> None:
    order = buyer.buy(shop.product())["id"]
    expect_kinds(buyer, "welcome", "order_confirmed")
    expect(admin.post(f"/api/orders/{order}/ship"), 200)
    expect_kinds(buyer, "welcome", "order_confirmed", "order_shipped")
    expect(admin.post(f"/api/orders/{order}/deliver"), 200)
    expect_kinds(buyer, "welcome", "order_confirmed", "order_shipped", "order_delivered")
    assert all(order in item["body"] for item in buyer.items("/api/notifications") if item["kind"] != "welcome")


def test_a_rejected_order_notifies_with_its_reason(shop: Shop, buyer: Client) -> None:
    problem(buyer.order(shop.product(), paymentToken="tok_declined"), 402)
    expect_kinds(buyer, "welcome", "order_rejected")
    (rejected,) = [item for item in buyer.items("/api/notifications") if item["kind"] == "order_rejected"]
    assert "payment declined" in rejected["body"]  # topics keep no order among each other


def test_a_canceled_order_notifies(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())["id"]
    expect_kinds(buyer, "welcome", "order_confirmed")
    expect(buyer.post(f"/api/orders/{order}/cancel"), 200)
    expect_kinds(buyer, "welcome", "order_confirmed", "order_cancelled")


def test_users_list_their_own_notifications_newest_first(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product()
    for _ in range(3):
        buyer.buy(product)
    expect_kinds(buyer, "welcome", *["order_confirmed"] * 3)
    items = buyer.items("/api/notifications")
    assert [item["createdAt"] for item in items] == sorted((item["createdAt"] for item in items), reverse=True)
    assert buyer.items("/api/notifications", limit=1) == items
    mine = {item["id"] for item in items}
    assert not mine & {item["id"] for item in shop.shopper().items("/api/notifications")}
    assert not mine & {item["id"] for item in admin.items("/api/notifications")}


@pytest.mark.embedded
def test_without_a_mail_server_mails_are_files_and_an_address_changes_at_once(shop: Shop, buyer: Client) -> None:
    new = f"{clock.new_id().lower()}@example.com"
    assert buyer.account["verified"] is True
    expect(buyer.change_credentials(email=new), 200)
    buyer.sign_in(new, PASSWORD)
    expect(buyer.post("/api/auth/resets", {"email": new}), 202)
    (path,) = eventually(lambda: [file for file in files_of(shop, buyer) if "/reset#" in file.read_text()])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"To: {new}" in path.read_text()
    found = re.search(rf"{re.escape(shop.url)}/shop/reset#(\S+)", path.read_text())
    assert found
    confirmation = {"token": found[1], "password": "another secret"}
    expect(buyer.post("/api/auth/resets/confirm", confirmation), 204)
    buyer.sign_in(new, "another secret")


def files_of(shop: Shop, buyer: Client) -> list[Path]:
    return sorted((shop.data / "mail").glob(f"{buyer.id}.*.eml"))


def test_account_mails_are_never_listed(shop: Shop, buyer: Client) -> None:
    expect(buyer.post("/api/auth/resets", {"email": buyer.email}), 202)
    eventually(
        lambda: [each for each in shop.documents("notifications", "account_mails") if each["userId"] == buyer.id]
    )
    eventually(lambda: buyer.items("/api/notifications"))
    assert [item["kind"] for item in buyer.items("/api/notifications")] == ["welcome"]
