"""Accounts, checkout and orders of the storefront, as a browser without scripts sees them."""

import re
from typing import Any

import pytest
import requests

from chassis import clock
from tests.system.platform import PASSWORD, Shop, eventually, expect
from tests.system.test_storefront import Browser

PRIVATE = ("/shop/checkout", "/shop/orders", "/shop/account", "/shop/notifications", "/shop/account/export")


def location(response: requests.Response) -> str:
    assert response.status_code == 303, response.text
    return response.headers["Location"]


def sign_up(browser: Browser, next: str = "") -> str:
    """Create an account, and return its address."""
    email = f"{clock.new_id().lower()}@example.com"
    fields = {"name": "Ada Byron", "email": email, "password": PASSWORD, "next": next}
    assert location(browser.submit("/shop/sign-up", **fields)) == (next or "/")
    return email


def review(browser: Browser) -> dict[str, str]:
    """Return the fields of the form of the checkout."""
    page = browser.get("/shop/checkout")
    assert page.status_code == 200
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    return {**fields, "payment": "tok_ok"}


def fill(browser: Browser, product: dict[str, Any], quantity: int = 1) -> None:
    assert location(browser.submit("/shop/cart/items", productId=product["id"], quantity=quantity)) == "/shop/cart"


def is_refused(browser: Browser, path: str) -> bool:
    """Return whether the session of this browser, which keeps it, opens a page no more."""
    copy = Browser(browser.url)
    copy.cookie = browser.cookie
    return copy.get(path).status_code == 303


def orders_of(browser: Browser) -> list[str]:
    return re.findall(r'href="/shop/orders/(\w+)"', browser.get("/shop/orders").text)


def finally_shows(browser: Browser, path: str, text: str) -> str:
    """Wait until a page shows this text, and return it."""
    found: str = eventually(lambda: text in (page := browser.get(path).text) and page)
    return found


@pytest.fixture
def browser(shop: Shop) -> Browser:
    return Browser(shop.url)


@pytest.fixture
def signed_in(browser: Browser) -> Browser:
    sign_up(browser)
    return browser


@pytest.fixture(scope="module")
def lamp(shop: Shop) -> dict[str, Any]:
    return shop.product(stock=500, name="Brass lamp", price="20.00")


def test_guest_signs_up_on_the_way_and_buys_the_cart(browser: Browser, lamp: dict[str, Any]) -> None:
    fill(browser, lamp, 2)
    assert location(browser.get("/shop/checkout")) == "/shop/sign-in?next=%2Fshop%2Fcheckout"
    sign_up(browser, next="/shop/checkout")
    fields = review(browser)
    assert fields["total"] == "40.00"
    order = location(browser.submit("/shop/checkout", **fields))
    page = finally_shows(browser, order, "Thank you. Your order is paid for")
    assert "€40.00" in page and 'name="robots" content="noindex"' in page and "hx-get" not in page.split("progress")[1]
    again = location(browser.submit("/shop/checkout", **fields))  # a second click, a reload, another tab
    assert (again, len(orders_of(browser))) == (order, 1)
    eventually(lambda: "Your cart is empty." in browser.cart())


def test_total_that_changed_is_shown_and_not_charged(signed_in: Browser, shop: Shop) -> None:
    product = shop.product(stock=5, name="Slate", price="10.00")
    fill(signed_in, product)
    fields = review(signed_in)
    expect(shop.admin().put(f"/api/products/{product['id']}", {"price": "11.00"}), 200)
    refused = signed_in.submit("/shop/checkout", **fields)
    assert (refused.status_code, "A price has changed." in refused.text) == (409, True)
    assert "Order and pay €11.00" in refused.text
    assert location(signed_in.submit("/shop/checkout", **review(signed_in))).startswith("/shop/orders/")


def test_cart_that_changed_in_another_tab_is_not_ordered(signed_in: Browser, lamp: dict[str, Any]) -> None:
    fill(signed_in, lamp)
    fields = review(signed_in)
    fill(signed_in, lamp)
    refused = signed_in.submit("/shop/checkout", **fields)
    assert (refused.status_code, "Your cart has changed." in refused.text) == (409, True)
    assert orders_of(signed_in) == []


def test_declined_payment_keeps_the_cart_for_another_card(signed_in: Browser, lamp: dict[str, Any]) -> None:
    fill(signed_in, lamp)
    fields = review(signed_in)
    declined = location(signed_in.submit("/shop/checkout", **fields | {"payment": "tok_declined"}))
    finally_shows(signed_in, declined, "The payment was declined.")
    paid = location(signed_in.submit("/shop/checkout", **review(signed_in)))
    assert paid != declined
    finally_shows(signed_in, paid, "Thank you. Your order is paid for")


def test_bank_confirms_and_the_order_follows(signed_in: Browser, lamp: dict[str, Any]) -> None:
    fill(signed_in, lamp)
    order = location(signed_in.submit("/shop/checkout", **review(signed_in) | {"payment": "tok_action"}))
    page = finally_shows(signed_in, order, "Confirm with your bank")
    assert f'hx-post="{order}/resume" hx-trigger="load' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    bank = re.search(r'href="[^"]*(/api/payments/bank/\w+)"', page)
    assert bank and signed_in.post(f"{bank[1]}/approve").status_code == 303
    assert location(signed_in.submit(f"{order}/resume")) == order
    finally_shows(signed_in, order, "Thank you. Your order is paid for")


def test_orders_that_is_away_loses_nothing(signed_in: Browser, shop: Shop, lamp: dict[str, Any]) -> None:
    fill(signed_in, lamp)
    fields = review(signed_in)
    with shop.frozen("orders"):
        away = signed_in.submit("/shop/checkout", **fields)
        assert (away.status_code, 'role="alert"' in away.text) == (503, True)
        assert "Order and pay €20.00" in away.text
    # the request that nobody waited for may still run: then this one is told so
    order = eventually(lambda: signed_in.submit("/shop/checkout", **fields).headers.get("Location"))
    finally_shows(signed_in, order, "Thank you. Your order is paid for")
    assert len(orders_of(signed_in)) == 1


def test_session_that_was_ended_elsewhere_signs_in_and_goes_on(
    browser: Browser, shop: Shop, lamp: dict[str, Any]
) -> None:
    email = sign_up(browser)
    fill(browser, lamp)
    fields = review(browser)
    elsewhere = shop.guest().sign_in(email, PASSWORD)
    for each in elsewhere.items("/api/users/me/sessions"):
        if not each["current"]:
            expect(elsewhere.delete(f"/api/users/me/sessions/{each['id']}"), 204)
    eventually(lambda: is_refused(browser, "/shop/orders"))
    headers = {"Referer": f"{browser.url}/shop/checkout", "Sec-Fetch-Site": "same-origin"}
    sent = browser.post("/shop/checkout", data=fields, headers=headers)
    assert location(sent) == "/shop/sign-in?next=%2Fshop%2Fcheckout"
    page = browser.get("/shop/sign-in?next=%2Fshop%2Fcheckout").text
    assert 'name="next" value="/shop/checkout"' in page
    signed = browser.submit("/shop/sign-in", email=email, password=PASSWORD, next="/shop/checkout")
    assert location(signed) == "/shop/checkout"
    assert review(browser)["cartVersion"] == fields["cartVersion"]


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_sign_in_leads_to_no_other_site(browser: Browser, buyer: Any, target: str) -> None:
    wrong = browser.submit("/shop/sign-in", email=buyer.email, password="wrong password", next=target)
    assert (wrong.status_code, "Set-Cookie" in wrong.headers) == (422, False)
    assert location(browser.submit("/shop/sign-in", email=buyer.email, password=PASSWORD, next=target)) == "/"


def test_sign_out_ends_the_session_everywhere(signed_in: Browser) -> None:
    stolen = signed_in.cookie
    left = signed_in.submit("/shop/sign-out")
    assert (location(left), left.headers["Clear-Site-Data"]) == ("/", '"cache"')
    signed_in.cookie = stolen
    eventually(lambda: is_refused(signed_in, "/shop/account"))


def test_private_pages_are_for_their_user_and_kept_by_no_cache(signed_in: Browser) -> None:
    for path in PRIVATE:
        found = signed_in.get(path)
        assert (found.status_code, found.headers["Cache-Control"], "Set-Cookie" in found.headers) == (
            200, "no-store", False,
        ), path  # fmt: skip
        assert path.endswith("export") or 'content="noindex"' in found.text, path
        assert location(Browser(signed_in.url).get(path)).startswith("/shop/sign-in?next=")


def test_form_of_another_site_changes_nothing(signed_in: Browser, lamp: dict[str, Any]) -> None:
    fill(signed_in, lamp)
    fields, account = review(signed_in), signed_in.get("/shop/account").text
    forms: dict[str, dict[str, str]] = {
        "/shop/checkout": fields,
        "/shop/sign-out": {},
        "/shop/account/profile": {"name": "Mallory", "language": "de"},
        "/shop/account/password": {"currentPassword": PASSWORD, "password": "another long password"},
        "/shop/account/delete": {"currentPassword": PASSWORD},
        "/shop/sign-in": {"email": "a@example.com", "password": "x"},
        "/shop/orders/any/cancel": {},
        "/shop/orders/any/resume": {},
    }
    for path, values in forms.items():
        response = signed_in.post(path, data=values, headers={"Sec-Fetch-Site": "cross-site"})
        assert (response.status_code, "Set-Cookie" in response.headers) == (403, False), path
    assert orders_of(signed_in) == [] and review(signed_in) == fields
    assert "Ada Byron" in account and "Ada Byron" in signed_in.get("/shop/account").text


@pytest.mark.parametrize("card", ["tok_action", "tok_ok"])
def test_a_cart_that_was_ordered_in_vain_is_ordered_again(browser: Browser, shop: Shop, card: str) -> None:
    """The payment is refused at the bank, so the response that is replayed says nothing of that."""
    sign_up(browser)
    fill(browser, shop.product(stock=9))
    fields = {**review(browser), "payment": "tok_action"}
    first = location(browser.submit("/shop/checkout", **fields))
    assert location(browser.submit("/shop/checkout", **fields)) == first, "it waits: the same order"
    page = finally_shows(browser, first, "/api/payments/bank/")
    bank = re.search(r'href="[^"]*(/api/payments/bank/[^"]+)"', page)
    assert bank
    assert requests.post(shop.url + bank[1] + "/refuse", allow_redirects=False, timeout=20).status_code == 303
    finally_shows(browser, first, "rejected")
    again = location(browser.submit("/shop/checkout", **{**fields, "payment": card}))
    assert again != first
    assert sorted(f"/shop/orders/{each}" for each in orders_of(browser)) == sorted((first, again))
