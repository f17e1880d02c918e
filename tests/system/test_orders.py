"""`/api/orders`: every outcome of an order, with its money and its stock."""

from typing import Any

import pytest

from chassis import clock
from tests.system.platform import Client, Shop, eventually, expect, problem, refused_fields

AMOUNTS, TIMES = {"items", "totalAmount", "currency"}, {"createdAt", "updatedAt"}
FIELDS = {"id", "userId", "status", "reason", "paymentId", "action", *AMOUNTS, *TIMES}


def line(product: dict[str, Any], quantity: Any = 1) -> dict[str, Any]:
    return {"productId": product["id"], "quantity": quantity}


def event_types(client: Client, order: str) -> list[str]:
    """Return the event types in the timeline of an order, without the steps of its saga."""
    timeline = expect(client.get(f"/api/orders/{order}/timeline"), 200)["items"]
    return [entry["type"] for entry in timeline if entry["type"] != "saga.step"]


def test_a_paid_order_is_confirmed(shop: Shop, buyer: Client) -> None:
    product = shop.product(name="Tent", price="699.99")
    response = buyer.order(product, 2)
    order = expect(response, 201)
    assert order.keys() == FIELDS
    assert order["items"] == [{"productId": product["id"], "name": "Tent", "quantity": 2, "price": "699.99"}]
    assert (order["userId"], order["totalAmount"], order["currency"]) == (buyer.id, "1399.98", "EUR")
    assert (order["status"], order["reason"]) == ("confirmed", None)
    assert order["paymentId"]
    assert response.headers["Location"] == f"/api/orders/{order['id']}"
    assert expect(buyer.get(response.headers["Location"]), 200) == order


def test_lines_of_one_product_are_merged(shop: Shop, buyer: Client) -> None:
    cup, bowl = shop.product(price="1.10"), shop.product(price="2.00")
    order = expect(buyer.post("/api/orders", {"items": [line(cup, 1), line(bowl, 1), line(cup, 2)]}), 201)
    assert [(item["productId"], item["quantity"]) for item in order["items"]] == [(cup["id"], 3), (bowl["id"], 1)]
    assert order["totalAmount"] == "5.30"


def test_insufficient_stock_rejects_the_order_by_product(shop: Shop, buyer: Client) -> None:
    plenty, scarce = shop.product(stock=9), shop.product(stock=1)
    refused = problem(buyer.post("/api/orders", {"items": [line(plenty, 2), line(scarce, 2)]}), 409)
    assert (refused["title"], refused["productId"]) == ("Insufficient stock", scarce["id"])
    assert scarce["id"] in refused["detail"]
    order = expect(buyer.get(f"/api/orders/{refused['orderId']}"), 200)
    assert (order["status"], order["reason"]) == ("rejected", "insufficient_stock")
    assert shop.captures(order["id"]) == []


@pytest.mark.parametrize("token", ["tok_declined", "tok_insufficient_funds", "tok_nobody_knows"])
def test_a_declined_payment_rejects_the_order(shop: Shop, buyer: Client, token: str) -> None:
    product = shop.product(stock=2)
    refused = problem(buyer.order(product, paymentToken=token), 402)
    assert refused["title"] == "Payment declined"
    order = expect(buyer.get(f"/api/orders/{refused['orderId']}"), 200)
    assert (order["status"], order["reason"], order["paymentId"]) == ("rejected", "payment_declined", None)
    assert sum(captured for captured, _ in shop.captures(order["id"])) == 0
    assert shop.stock(product) == (2, 0, 0)


@pytest.mark.parametrize("token", ["tok_slow", "tok_timeout"])
def test_a_slow_payment_is_pending_and_captured_once(shop: Shop, buyer: Client, token: str) -> None:
    product = shop.product(stock=2, price="10.00")
    response = buyer.order(product, paymentToken=token)
    order = expect(response, 202)
    assert order.keys() == FIELDS
    assert (order["status"], response.headers["Location"]) == ("pending", f"/api/orders/{order['id']}")
    assert buyer.final_order(order["id"])["status"] == "confirmed"
    assert shop.captures(order["id"]) == [(1000, 0)]
    assert len(buyer.items(f"/api/payments?orderId={order['id']}")) == 1
    assert shop.stock(product) == (1, 0, 1)


def test_a_provider_error_is_retried_and_captured_once(shop: Shop, buyer: Client) -> None:
    response = buyer.order(shop.product(price="10.00"), paymentToken="tok_error")
    assert response.status_code in (201, 202)
    assert buyer.final_order(response.json()["id"])["status"] == "confirmed"
    assert shop.captures(response.json()["id"]) == [(1000, 0)]


def test_products_in_two_currencies_are_rejected(shop: Shop, buyer: Client) -> None:
    items = [line(shop.product(currency=currency)) for currency in ("EUR", "USD")]
    assert refused_fields(buyer.post("/api/orders", {"items": items})) == ["items"]
    assert buyer.items("/api/orders") == []


def test_an_order_of_an_unknown_product_is_rejected(shop: Shop, buyer: Client) -> None:
    items = [line(shop.product()), {"productId": "none", "quantity": 1}]
    assert refused_fields(buyer.post("/api/orders", {"items": items})) == ["items"]
    assert buyer.items("/api/orders") == []


@pytest.mark.parametrize("quantity", [-1, 0, 1.5, 2**31, 2**63, "1", True, None, {"$gt": 0}, [1]])
def test_a_quantity_must_be_a_positive_integer(buyer: Client, quantity: Any) -> None:
    items = [{"productId": "p", "quantity": quantity}]
    assert refused_fields(buyer.post("/api/orders", {"items": items})) == ["items[0].quantity"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["items"]),
        ({"items": []}, ["items"]),
        ({"productId": "p"}, ["items"]),
        ({"productId": "p", "quantity": 1, "items": [{"productId": "p", "quantity": 1}]}, ["items"]),
        ({"items": [{"productId": "p", "quantity": 1, "price": "0.01"}]}, ["items[0].price"]),
        ({"productId": "p", "quantity": 1, "price": 1}, ["price"]),
        ({"productId": "p", "quantity": 1, "total": 1}, ["total"]),
        ({"productId": "p", "quantity": 1, "totalAmount": "1.00"}, ["totalAmount"]),
        ({"productId": "p", "quantity": 1, "currency": "JPY"}, ["currency"]),
        ({"productId": "p", "quantity": 1, "status": "confirmed"}, ["status"]),
        ({"productId": "p", "quantity": 1, "paid": True}, ["paid"]),
        ({"productId": "../p", "quantity": 1}, ["productId"]),
        ({"productId": "p", "quantity": 1, "paymentToken": "tok ok"}, ["paymentToken"]),
        ({"items": [{"productId": "p", "quantity": 9_999}] * 2}, ["items"]),
        ({"items": [{"productId": "p", "quantity": 1}] * 101}, ["items"]),
    ],
)
def test_an_invalid_order_is_rejected_by_field(buyer: Client, body: Any, fields: list[str]) -> None:
    assert refused_fields(buyer.post("/api/orders", body)) == fields


def test_an_unknown_field_is_rejected_by_name(buyer: Client) -> None:
    hostile = {"productId": "p", "quantity": 1, "$where": "1", "a.b": 1}
    assert sorted(refused_fields(buyer.post("/api/orders", hostile))) == ["$where", "a.b"]


def test_only_an_administrator_orders_for_another_user(shop: Shop, admin: Client, buyer: Client) -> None:
    product, other = shop.product(), shop.shopper()
    problem(buyer.order(product, userId=other.id), 403)
    assert expect(buyer.order(product, userId=buyer.id), 201)["userId"] == buyer.id
    order = expect(admin.order(product, userId=other.id), 201)
    assert order["userId"] == other.id
    assert expect(other.get(f"/api/orders/{order['id']}"), 200) == order


def test_an_order_for_an_unknown_user_gets_403(shop: Shop, admin: Client) -> None:
    product = shop.product(stock=2)
    problem(admin.order(product, userId="nobody"), 403)
    assert shop.stock(product) == (2, 0, 0)


def test_only_buyer_and_administrator_see_an_order(shop: Shop, admin: Client, buyer: Client) -> None:
    path = f"/api/orders/{buyer.buy(shop.product())['id']}"
    assert expect(admin.get(path), 200) == expect(buyer.get(path), 200)
    expect(admin.get(f"{path}/timeline"), 200)
    stranger = shop.shopper()
    for response in (stranger.get(path), stranger.get(f"{path}/timeline"), stranger.post(f"{path}/cancel")):
        problem(response, 404)
    assert stranger.items("/api/orders") == []


def test_orders_are_listed_newest_first_in_pages(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product()
    placed = [buyer.buy(product) for _ in range(5)]
    assert buyer.items("/api/orders", limit=2) == placed[::-1]
    assert admin.items(f"/api/orders?userId={buyer.id}", limit=3) == placed[::-1]
    everyones = [order["id"] for order in admin.items("/api/orders")]
    assert everyones == sorted(everyones, reverse=True)
    assert {order["id"] for order in placed} <= set(everyones)


def test_a_list_is_filtered_by_status_and_user(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product(stock=3)
    confirmed, shipped = (buyer.buy(product)["id"] for _ in range(2))
    rejected = problem(buyer.order(product, 9), 409)["orderId"]
    expect(admin.post(f"/api/orders/{shipped}/ship"), 200)
    for status, id in (("confirmed", confirmed), ("shipped", shipped), ("rejected", rejected)):
        assert [order["id"] for order in buyer.items(f"/api/orders?status={status}&userId={buyer.id}")] == [id]
        assert [order["id"] for order in admin.items(f"/api/orders?status={status}&userId={buyer.id}")] == [id]
    problem(shop.shopper().get(f"/api/orders?userId={buyer.id}"), 403)
    problem(buyer.get("/api/orders?status=paid"), 422)


def test_a_timeline_lists_events_and_steps_in_order(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())["id"]
    timeline = expect(buyer.get(f"/api/orders/{order}/timeline"), 200)["items"]
    assert all(entry.keys() == {"time", "type", "step", "outcome", "detail"} for entry in timeline)
    traced = expect(shop.admin().get(f"/api/orders/{order}/timeline"), 200)["items"]
    assert all(len(entry.pop("traceId")) == 32 for entry in traced) and traced == timeline
    assert [entry["time"] for entry in timeline] == sorted(entry["time"] for entry in timeline)
    assert event_types(buyer, order) == ["order.placed", "order.confirmed"]
    steps = ["place", "check buyer", "reserve stock", "take payment", "confirm stock", "confirm order"]
    assert [(entry["step"], entry["outcome"]) for entry in timeline if entry["step"]] == [
        (step, "done") for step in steps
    ]


def test_a_timeline_lists_undone_steps(shop: Shop, buyer: Client) -> None:
    order = problem(buyer.order(shop.product(), paymentToken="tok_declined"), 402)["orderId"]
    timeline = expect(buyer.get(f"/api/orders/{order}/timeline"), 200)["items"]
    steps = [(entry["step"], entry["outcome"]) for entry in timeline if entry["step"]]
    assert steps[3:] == [("take payment", "refused"), ("reserve stock", "undone"), ("place", "undone")]
    assert event_types(buyer, order) == ["order.placed", "order.rejected"]


def test_canceling_a_confirmed_order_refunds_and_restocks(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=3, price="10.00")
    order = buyer.buy(product, 2)["id"]
    assert expect(buyer.post(f"/api/orders/{order}/cancel"), 200)["status"] == "cancelled"
    types = eventually(lambda: [types] if len(types := event_types(buyer, order)) == 5 else None)[0]
    assert types[:3] == ["order.placed", "order.confirmed", "order.cancelled"]
    assert sorted(types[3:]) == ["order.refund_noted", "order.restock_noted"]
    assert shop.captures(order) == [(2000, 2000)]
    assert shop.stock(product) == (3, 0, 0)
    assert expect(buyer.post(f"/api/orders/{order}/cancel"), 200)["status"] == "cancelled"


@pytest.mark.parametrize("token", ["tok_slow", "tok_timeout"])
def test_canceling_a_pending_order_undoes_the_checkout(shop: Shop, buyer: Client, token: str) -> None:
    product = shop.product(stock=3)
    with shop.undecided_payments():
        order = expect(buyer.order(product, 2, paymentToken=token), 202)["id"]
        response = expect(buyer.post(f"/api/orders/{order}/cancel"), 202)
        assert response["status"] == "pending"
    ended = buyer.final_order(order)
    assert (ended["status"], ended["reason"]) == ("cancelled", "cancelled")
    assert all(captured == refunded for captured, refunded in shop.captures(order))
    assert shop.stock(product) == (3, 0, 0)


def test_an_order_is_shipped_then_delivered(shop: Shop, admin: Client, buyer: Client) -> None:
    path = f"/api/orders/{buyer.buy(shop.product())['id']}"
    assert problem(admin.post(f"{path}/deliver"), 409)["orderStatus"] == "confirmed"
    assert expect(admin.post(f"{path}/ship"), 200)["status"] == "shipped"
    for response in (admin.post(f"{path}/ship"), buyer.post(f"{path}/cancel")):
        assert problem(response, 409)["orderStatus"] == "shipped"
    assert expect(admin.post(f"{path}/deliver"), 200)["status"] == "delivered"
    for move in ("ship", "deliver", "cancel"):
        assert problem(admin.post(f"{path}/{move}"), 409)["orderStatus"] == "delivered"


def test_a_rejected_or_canceled_order_cannot_be_shipped(shop: Shop, admin: Client, buyer: Client) -> None:
    rejected = problem(buyer.order(shop.product(stock=0)), 409)["orderId"]
    for move in ("ship", "deliver", "cancel"):
        problem(admin.post(f"/api/orders/{rejected}/{move}"), 409)
    cancelled = buyer.buy(shop.product())["id"]
    expect(buyer.post(f"/api/orders/{cancelled}/cancel"), 200)
    for move in ("ship", "deliver"):
        problem(admin.post(f"/api/orders/{cancelled}/{move}"), 409)


def test_a_repeated_ship_takes_effect_once(shop: Shop, admin: Client, buyer: Client) -> None:
    path, key = f"/api/orders/{buyer.buy(shop.product())['id']}/ship", clock.new_id()
    first = expect(admin.post(path, key=key), 200)
    again = admin.post(path, key=key)
    assert (expect(again, 200), again.headers["Idempotent-Replayed"]) == (first, "true")


def test_an_unknown_order_gets_404(buyer: Client, admin: Client) -> None:
    for path in ("/api/orders/none", "/api/orders/none/timeline"):
        problem(buyer.get(path), 404)
    problem(buyer.post("/api/orders/none/cancel"), 404)
    for move in ("ship", "deliver"):
        problem(admin.post(f"/api/orders/none/{move}"), 404)
