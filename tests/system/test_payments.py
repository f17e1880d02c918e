"""`/api/payments`: one payment for each order, visible to its buyer and the administrator."""

import pytest

from tests.system.platform import Client, Shop, eventually, expect, problem


def payment_of(client: Client, order: str) -> dict[str, str]:
    (found,) = client.items(f"/api/payments?orderId={order}")
    return found


def test_a_paid_order_has_one_completed_payment(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product(price="12.50"), 2)
    payment = payment_of(buyer, order["id"])
    assert payment["id"] == order["paymentId"]
    assert payment == {
        "id": order["paymentId"],
        "orderId": order["id"],
        "amount": "25.00",
        "currency": "EUR",
        "status": "completed",
        "refundedAmount": "0.00",
        "provider": "test",
        "createdAt": payment["createdAt"],
    }
    assert expect(buyer.get(f"/api/payments/{payment['id']}"), 200) == payment


def test_an_amount_has_the_digits_of_its_currency(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product(price="1500", currency="JPY"), 3)
    payment = payment_of(buyer, order["id"])
    assert (payment["amount"], payment["currency"], payment["refundedAmount"]) == ("4500", "JPY", "0")


@pytest.mark.parametrize("token", ["tok_declined", "tok_insufficient_funds"])
def test_a_declined_payment_is_stored_as_failed(shop: Shop, buyer: Client, token: str) -> None:
    order = problem(buyer.order(shop.product(), paymentToken=token), 402)["orderId"]
    assert payment_of(buyer, order)["status"] == "failed"


def test_an_undecided_payment_is_visible(shop: Shop, buyer: Client) -> None:
    order = expect(buyer.order(shop.product(), paymentToken="tok_slow"), 202)["id"]
    assert payment_of(buyer, order)["status"] in ("pending", "unknown")
    buyer.final_order(order)
    assert payment_of(buyer, order)["status"] == "completed"


def test_a_canceled_order_is_refunded_in_full(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product(price="12.50"))["id"]
    expect(buyer.post(f"/api/orders/{order}/cancel"), 200)
    payment = eventually(lambda: found if (found := payment_of(buyer, order))["status"] == "refunded" else None)
    assert (payment["amount"], payment["refundedAmount"]) == ("12.50", "12.50")


def test_only_buyer_and_administrator_see_a_payment(shop: Shop, admin: Client, buyer: Client) -> None:
    product = shop.product()
    orders = [buyer.buy(product)["id"] for _ in range(3)]
    assert {payment["orderId"] for payment in buyer.items("/api/payments", limit=2)} == set(orders)
    payment = payment_of(admin, orders[0])
    assert payment_of(buyer, orders[0]) == payment
    assert set(orders) <= {payment["orderId"] for payment in admin.items("/api/payments")}
    stranger = shop.shopper()
    assert stranger.items("/api/payments") == stranger.items(f"/api/payments?orderId={orders[0]}") == []
    problem(stranger.get(f"/api/payments/{payment['id']}"), 404)


def test_a_rejected_order_without_a_charge_has_no_payment(shop: Shop, buyer: Client) -> None:
    order = problem(buyer.order(shop.product(stock=0)), 409)["orderId"]
    assert buyer.items(f"/api/payments?orderId={order}") == []
    problem(buyer.get(f"/api/payments/{order}"), 404)
    problem(buyer.get("/api/payments?orderId=../x"), 422)
