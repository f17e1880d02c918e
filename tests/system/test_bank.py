"""A payment that the buyer confirms at the bank, on the page of the test provider: approved, refused, canceled."""

from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.system.platform import Client, Shop, eventually, expect, problem

pytestmark = pytest.mark.any_engine


def order_that_waits(buyer: Client, product: dict[str, Any], quantity: int = 1) -> dict[str, Any]:
    """Order units, and return the order as soon as the buyer has to confirm its payment."""
    id = expect(buyer.order(product, quantity, paymentToken="tok_action"), 202)["id"]
    found: dict[str, Any] = eventually(lambda: order if (order := shown(buyer, id))["action"] else None)
    return found


def shown(buyer: Client, order: str) -> dict[str, Any]:
    found: dict[str, Any] = expect(buyer.get(f"/api/orders/{order}"), 200)
    return found


def browser(shop: Shop) -> Client:
    """Return a client without a token, as at the bank."""
    return shop.guest()


def answer(shop: Shop, order: dict[str, Any], button: str) -> requests.Response:
    """Press a button on the page of the bank."""
    page = browser(shop).get(path := urlsplit(order["action"]["url"]).path)
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html"), page.text
    assert f'action="{order["id"]}/{button}"' in page.text and order["totalAmount"] in page.text
    return browser(shop).post(f"{path}/{button}", data="", allow_redirects=False)


def test_order_whose_payment_the_buyer_approves_is_confirmed(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=3)
    order = order_that_waits(buyer, product, 2)
    assert (order["status"], order["action"]["type"]) == ("pending", "redirect")
    assert order["action"]["until"] > order["createdAt"]
    assert expect(buyer.get("/api/orders?status=pending"), 200)["items"][0]["action"] == order["action"]
    assert (shop.stock(product), shop.captures(order["id"])) == ((1, 2, 0), [(0, 0)])
    back = answer(shop, order, "approve")
    assert (back.status_code, back.headers["Location"]) == (303, f"{shop.url}/shop/orders/{order['id']}")
    resumed = expect(buyer.post(f"/api/orders/{order['id']}/resume"), 202)
    assert resumed["id"] == order["id"]
    done = buyer.final_order(order["id"])
    assert (done["status"], done["action"]) == ("confirmed", None)
    answer(shop, order, "refuse")
    assert (shop.stock(product), shop.captures(order["id"])) == ((1, 0, 2), [(2000, 0)])


def test_order_whose_payment_the_buyer_refuses_is_rejected_without_a_request_of_the_shop(
    shop: Shop, buyer: Client
) -> None:
    product = shop.product(stock=3)
    order = order_that_waits(buyer, product)
    assert answer(shop, order, "refuse").status_code == 303
    answer(shop, order, "approve")
    done = buyer.final_order(order["id"])
    assert (done["status"], done["reason"], done["action"]) == ("rejected", "payment_declined", None)
    assert (shop.stock(product), shop.captures(order["id"])) == ((3, 0, 0), [(0, 0)])


def test_cancel_while_the_bank_waits_ends_the_order_and_no_later_answer_counts(shop: Shop, buyer: Client) -> None:
    product = shop.product(stock=3)
    order = order_that_waits(buyer, product)
    expect(buyer.post(f"/api/orders/{order['id']}/cancel"), 202)
    assert buyer.final_order(order["id"])["status"] == "cancelled"
    answer(shop, order, "approve")
    expect(buyer.post(f"/api/orders/{order['id']}/resume"), 202)
    assert (shop.stock(product), shop.captures(order["id"])) == ((3, 0, 0), [(0, 0)])
    assert shown(buyer, order["id"])["status"] == "cancelled"


def test_hint_decides_nothing_and_is_for_the_buyer_alone(shop: Shop, buyer: Client) -> None:
    order = order_that_waits(buyer, shop.product())
    path = f"/api/orders/{order['id']}/resume"
    problem(shop.shopper().post(path), 404)
    problem(shop.guest().post(path), 401)
    before = [saga["log"] for saga in shop.documents("orders", "sagas") if saga["_id"] == order["id"]]
    expect(buyer.post(path), 202)
    eventually(lambda: [s["log"] for s in shop.documents("orders", "sagas") if s["_id"] == order["id"]] != before)
    waiting = eventually(lambda: found if (found := shown(buyer, order["id"]))["action"] else None)
    assert waiting["status"] == "pending" and waiting["action"] == order["action"]
    expect(buyer.post(f"/api/orders/{order['id']}/cancel"), 202)


def test_bank_has_no_page_for_a_payment_that_needs_none(shop: Shop, buyer: Client) -> None:
    order = buyer.buy(shop.product())["id"]
    for id in (order, "unknown"):
        problem(browser(shop).get(f"/api/payments/bank/{id}"), 404)
        problem(browser(shop).post(f"/api/payments/bank/{id}/approve"), 404)
