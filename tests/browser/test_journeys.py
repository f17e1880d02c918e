"""What shoppers do, in Chromium: from the first look to the order that is paid for once."""

import re
from typing import Any

import pytest

from chassis import clock
from tests.browser.window import Window
from tests.system.platform import PASSWORD, Shop, eventually

pytestmark = pytest.mark.embedded
FINAL = re.compile("confirmed|rejected|canceled")


@pytest.fixture(scope="module")
def lantern(shop: Shop) -> dict[str, Any]:
    return shop.product(
        stock=500, name="Storm lantern", price="25.00", category="Lights", description="Burns all night."
    )


def sign_up(window: Window, email: str = "") -> str:
    """Create an account in the window, which goes on where it was."""
    page, email = window.page, email or f"{clock.new_id().lower()}@example.com"
    page.get_by_label("Name").fill("Ada Byron")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    return email


def shopper(window: Window) -> str:
    window.visit("/shop/sign-up")
    email = sign_up(window)
    window.page.wait_for_url(window.url + "/")
    return email


def fill_cart(window: Window, product: dict[str, Any]) -> None:
    page = window.visit(f"/shop/products/{product['id']}")
    page.get_by_role("button", name="Add to cart").click()
    if window.has_scripts:
        page.locator("#summary .count").wait_for()
    else:
        page.get_by_role("heading", name="Your cart").wait_for()


def pay(window: Window, card: str = "A card that pays") -> None:
    page = window.visit("/shop/checkout")
    page.get_by_label(card).check()
    page.get_by_role("button", name="Order and pay").click()
    page.wait_for_url(re.compile("/shop/orders/"))


def orders_of(shop: Shop, email: str) -> list[dict[str, Any]]:
    client = shop.guest().sign_in(email, PASSWORD)
    return client.items("/api/orders")


def test_guest_browses_fills_a_cart_signs_up_pays_and_watches(window: Any, shop: Shop, lantern: dict[str, Any]) -> None:
    guest = window()
    page = guest.visit("/")
    page.get_by_role("searchbox").fill("storm lantren")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Storm lantern").first.click()
    page.get_by_role("button", name="Add to cart").click()
    page.get_by_text("Storm lantern is in your cart.").wait_for()
    assert page.locator("[role=status]", has_text="is in your cart").count() == 1, "it is announced once"
    page.get_by_role("link", name="Cart").click()
    page.get_by_label("Quantity of Storm lantern").fill("2")
    page.get_by_role("button", name="Change").click()
    page.get_by_text("€50.00").wait_for()
    page.get_by_role("link", name="Go to checkout").click()
    page.get_by_role("link", name="Create an account").click()
    email = sign_up(guest)
    page.wait_for_url(guest.url + "/shop/checkout")
    page.get_by_role("button", name="Order and pay €50.00").click()
    page.locator("#progress .confirmed").wait_for()
    assert page.locator("#progress [hx-get]").count() == 0, "a final status ends the polling"
    (order,) = orders_of(shop, email)
    assert (order["status"], order["totalAmount"]) == ("confirmed", "50.00")
    assert shop.captures(order["id"]) == [(5000, 0)]
    page.get_by_role("button", name="Cancel this order").click()
    page.locator("#progress .cancelled").wait_for()
    eventually(lambda: shop.captures(order["id"]) == [(5000, 5000)])
    guest.visit("/shop/cart").get_by_text("Your cart is empty.").wait_for()


def test_declined_card(window: Any, shop: Shop, lantern: dict[str, Any]) -> None:
    buyer = window()
    email = shopper(buyer)
    fill_cart(buyer, lantern)
    pay(buyer, "A card that is declined")
    buyer.page.locator("#progress .rejected").wait_for()
    buyer.page.get_by_text("The payment was declined. Nothing was charged.").wait_for()
    assert [each["status"] for each in orders_of(shop, email)] == ["rejected"]
    assert buyer.visit("/shop/cart").get_by_role("link", name="Storm lantern").count() == 1, "the cart is kept"


@pytest.mark.parametrize(("answer", "status"), [("Approve", "confirmed"), ("Refuse", "rejected")])
def test_the_bank_asks_the_buyer(window: Any, shop: Shop, lantern: dict[str, Any], answer: str, status: str) -> None:
    buyer = window()
    email = shopper(buyer)
    fill_cart(buyer, lantern)
    pay(buyer, "A card whose bank asks you to confirm")
    page = buyer.page
    page.get_by_role("link", name="Confirm with your bank").click()
    page.get_by_role("heading", name="Test bank").wait_for()
    page.get_by_role("button", name=answer).click()
    page.locator(f"#progress .{status}").wait_for()
    (order,) = orders_of(shop, email)
    assert order["status"] == status
    assert shop.captures(order["id"]) == ([(2500, 0)] if status == "confirmed" else [(0, 0)])


def test_price_changes_between_cart_and_order(window: Any, shop: Shop) -> None:
    product = shop.product(stock=5, name="Axe", price="40.00")
    buyer = window()
    email = shopper(buyer)
    fill_cart(buyer, product)
    page = buyer.visit("/shop/checkout")
    assert shop.admin().put(f"/api/products/{product['id']}", {"price": "41.00"}).status_code == 200
    page.get_by_role("button", name="Order and pay €40.00").click()
    page.get_by_text("A price has changed. Look at the new total before you order.").wait_for()
    assert all(each["status"] == "rejected" for each in orders_of(shop, email))
    page.get_by_role("button", name="Order and pay €41.00").click()
    page.locator("#progress .confirmed").wait_for()
    bought = [each for each in orders_of(shop, email) if each["status"] == "confirmed"]
    assert [each["totalAmount"] for each in bought] == ["41.00"]


def test_double_click_reload_two_tabs_and_back_are_one_order(window: Any, shop: Shop, lantern: dict[str, Any]) -> None:
    buyer = window()
    email = shopper(buyer)
    fill_cart(buyer, lantern)
    page = buyer.visit("/shop/checkout")
    other = buyer.tab()
    other.goto("/shop/checkout")
    page.get_by_role("button", name="Order and pay").dblclick()
    page.locator("#progress .confirmed").wait_for()
    page.reload()
    page.go_back()
    if page.get_by_role("button", name="Order and pay").count():
        page.get_by_role("button", name="Order and pay").click()
        page.wait_for_load_state()
    eventually(lambda: not [each for each in shop.documents("orders", "sagas") if each["open"]])
    other.get_by_role("button", name="Order and pay").click()
    other.wait_for_load_state()
    assert len([each for each in orders_of(shop, email) if each["status"] != "rejected"]) == 1


def test_session_that_ends_in_checkout_goes_on_after_sign_in(window: Any, shop: Shop, lantern: dict[str, Any]) -> None:
    buyer = window()
    email = shopper(buyer)
    fill_cart(buyer, lantern)
    page = buyer.visit("/shop/checkout")
    buyer.context.clear_cookies()
    page.get_by_role("button", name="Order and pay").click()
    page.wait_for_url(re.compile("/shop/sign-in"))
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(buyer.url + "/shop/checkout")
    assert orders_of(shop, email) == []
    page.get_by_role("button", name="Order and pay").click()
    page.locator("#progress .confirmed").wait_for()
    assert len(orders_of(shop, email)) == 1


def test_everything_works_without_scripts(window: Any, shop: Shop, lantern: dict[str, Any]) -> None:
    buyer = window(java_script_enabled=False)
    email = shopper(buyer)
    fill_cart(buyer, lantern)
    page = buyer.page
    page.get_by_label("Quantity of Storm lantern").fill("3")
    page.get_by_role("button", name="Change").click()
    page.get_by_text("€75.00").wait_for()
    pay(buyer)
    page.locator("#progress .confirmed").wait_for()
    assert [each["status"] for each in orders_of(shop, email)] == ["confirmed"]


def test_keyboard_alone(window: Any, lantern: dict[str, Any]) -> None:
    guest = window()
    page = guest.visit(f"/shop/products/{lantern['id']}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Add to cart":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is visible"
    page.keyboard.press("Enter")
    page.get_by_text("Storm lantern is in your cart.").wait_for()


def test_german(window: Any, lantern: dict[str, Any]) -> None:
    guest = window(language="de-DE")
    page = guest.visit(f"/shop/products/{lantern['id']}")
    assert page.locator("html").get_attribute("lang") == "de"
    assert "25,00\xa0€" in page.locator(".price.big").inner_text()
    page.get_by_role("button", name="In den Warenkorb").click()
    page.get_by_text("Storm lantern ist in Ihrem Warenkorb.").wait_for()


def test_a_service_that_is_away_costs_a_sentence(window: Any, shop: Shop, lantern: dict[str, Any]) -> None:
    buyer = window()
    email = shopper(buyer)
    fill_cart(buyer, lantern)
    page = buyer.visit("/shop/checkout")
    with shop.frozen("carts"):
        assert buyer.visit(f"/shop/products/{lantern['id']}").get_by_role("button", name="Add to cart").count() == 1
    page = buyer.visit("/shop/checkout")
    with shop.frozen("orders"):
        page.get_by_role("button", name="Order and pay").click()
        page.get_by_role("alert").wait_for()

    def pressed_again() -> bool:
        if "/shop/checkout" in page.url:
            page.get_by_role("button", name="Order and pay").click()
            page.wait_for_load_state()
        return "/shop/orders/" in page.url

    eventually(pressed_again)
    buyer.errors.clear()  # Chromium has logged the 503
    page.locator("#progress .confirmed").wait_for()
    assert len(orders_of(shop, email)) == 1


def test_the_session_is_one_cookie_that_no_script_sees(window: Any) -> None:
    buyer = window()
    shopper(buyer)
    (cookie,) = buyer.cookies().values()
    assert (cookie["name"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
        "__Host-session", True, True, "Lax",
    )  # fmt: skip
    assert buyer.page.evaluate("document.cookie + JSON.stringify(localStorage)") == "{}"
    page = buyer.visit("/shop/account")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(buyer.url + "/")
    assert buyer.cookies() == {}
