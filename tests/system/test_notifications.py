"""`/api/notifications`: each event notifies its user once."""

from tests.system.platform import Client, Shop, eventually, expect, problem


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
