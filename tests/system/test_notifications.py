"""`/api/notifications`: each thing is told once, to the one it concerns."""

from tests.system.platform import Client, Shop, eventually, expect, problem


def kinds(client: Client) -> list[str]:
    return [item["kind"] for item in client.items("/api/notifications")]


def told(client: Client, *expected: str) -> None:
    """Wait until that much is told, and see that it is exactly that; topics keep no order among each other."""
    eventually(lambda: len(kinds(client)) >= len(expected))
    assert sorted(kinds(client)) == sorted(expected)


def test_a_new_shopper_is_welcomed_once(buyer: Client) -> None:
    told(buyer, "welcome")
    (welcome,) = buyer.items("/api/notifications")
    assert welcome.keys() == {"id", "kind", "subject", "body", "channel", "status", "createdAt"}
    assert (welcome["channel"], welcome["status"]) == ("record", "sent")
    assert welcome["subject"]
    assert welcome["body"]


def test_every_turn_of_an_order_is_told_once(shop: Shop, admin: Client, buyer: Client) -> None:
    order = buyer.buy(shop.product())["id"]
    told(buyer, "welcome", "order_confirmed")
    expect(admin.post(f"/api/orders/{order}/ship"), 200)
    told(buyer, "welcome", "order_confirmed", "order_shipped")
    expect(admin.post(f"/api/orders/{order}/deliver"), 200)
    told(buyer, "welcome", "order_confirmed", "order_shipped", "order_delivered")
    assert all(order in item["body"] for item in buyer.items("/api/notifications") if item["kind"] != "welcome")


def test_a_rejected_order_is_told_with_its_reason(shop: Shop, buyer: Client) -> None:
    problem(buyer.order(shop.product(), paymentToken="tok_declined"), 402)
    told(buyer, "welcome", "order_rejected")
    (rejected,) = [item for item in buyer.items("/api/notifications") if item["kind"] == "order_rejected"]
    assert "payment declined" in rejected["body"]  # topics keep no order among each other


def test_a_cancelled_order_is_told(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())["id"]
    told(buyer, "welcome", "order_confirmed")
    expect(buyer.post(f"/api/orders/{order}/cancel"), 200)
    told(buyer, "welcome", "order_confirmed", "order_cancelled")


def test_notifications_are_ones_own_newest_first_and_page_by_page(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product()
    for _ in range(3):
        buyer.buy(product)
    told(buyer, "welcome", *["order_confirmed"] * 3)
    items = buyer.items("/api/notifications")
    assert [item["createdAt"] for item in items] == sorted((item["createdAt"] for item in items), reverse=True)
    assert buyer.items("/api/notifications", limit=1) == items
    mine = {item["id"] for item in items}
    assert not mine & {item["id"] for item in shop.shopper().items("/api/notifications")}
    assert not mine & {item["id"] for item in admin.items("/api/notifications")}
