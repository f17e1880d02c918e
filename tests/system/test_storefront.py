"""The storefront over HTTP, as a browser without scripts sees it."""

import re
from typing import Any

import pytest
import requests

from tests.system.platform import Client, Shop, expect

PUBLIC = (
    "/", "/shop/products", "/shop/products?q=kettle&sort=-price&inStock=true", "/shop/imprint", "/shop/terms",
    "/shop/privacy", "/robots.txt", "/sitemap.xml", "/favicon.ico", "/health",
)  # fmt: skip
PRIVATE = ("/shop/cart", "/shop/cart/summary", "/shop/checkout", "/shop/orders", "/shop/account")
MAX_FIRST_LOAD_BYTES = 60_000
MAX_SCRIPTS_BYTES = 25_000
MARKUP = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Browser(Client):
    """Keeps the session cookie, as browsers do on loopback although it is `Secure`, and follows no redirect."""

    cookie = ""

    def request(self, method: str, path: str, body: Any = None, key: str = "", **options: Any) -> requests.Response:
        headers = {"Cookie": self.cookie, **options.pop("headers", {})}
        response = super().request(method, path, body, key, headers=headers, allow_redirects=False, **options)
        if set_cookie := response.headers.get("Set-Cookie"):
            self.cookie = set_cookie.partition(";")[0]
        self._session.cookies.clear()
        return response

    def submit(self, path: str, **fields: Any) -> requests.Response:
        """Send a form of the shop."""
        return self.post(path, data=fields, headers={"Sec-Fetch-Site": "same-origin"})

    def cart(self) -> str:
        response = self.get("/shop/cart")
        assert response.status_code == 200
        return response.text


@pytest.fixture
def browser(shop: Shop) -> Browser:
    return Browser(shop.url)


@pytest.fixture(scope="module")
def kettle(shop: Shop) -> dict[str, Any]:
    return shop.product(stock=500, name="Copper kettle", price="1234.50", category="Cooking", description=MARKUP)


@pytest.fixture
def filled(browser: Browser, kettle: dict[str, Any]) -> Browser:
    """A guest whose cart has two kettles."""
    added = browser.submit("/shop/cart/items", productId=kettle["id"], quantity=2)
    assert (added.status_code, added.headers["Location"]) == (303, "/shop/cart")
    return browser


def transferred(url: str) -> int:
    with requests.get(url, stream=True, timeout=20) as response:
        assert response.status_code == 200
        return len(response.raw.read(decode_content=False))


def test_pages_answer_and_load_nothing_from_elsewhere(browser: Browser, kettle: dict[str, Any]) -> None:
    for path in (*PUBLIC, f"/shop/products/{kettle['id']}"):
        response = browser.get(path)
        assert response.status_code == 200, path
        assert "Set-Cookie" not in response.headers, path
        if response.headers["Content-Type"].startswith("text/html"):
            assert not re.findall(r"""(?:src|srcset|href|action)=["'](?:https?:)?//""", response.text), path
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy, path


def test_first_load_is_small(shop: Shop, browser: Browser) -> None:
    page = browser.get("/").text
    scripts = re.findall(r'<script src="([^"]+)"', page)
    styles = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert scripts and styles
    scripts_bytes = sum(transferred(shop.url + path) for path in scripts)
    assert scripts_bytes <= MAX_SCRIPTS_BYTES
    others_bytes = sum(transferred(shop.url + path) for path in ("/", *styles))
    assert scripts_bytes + others_bytes <= MAX_FIRST_LOAD_BYTES


def test_public_page_is_the_same_for_everybody(filled: Browser, kettle: dict[str, Any]) -> None:
    product = f"/shop/products/{kettle['id']}"
    for path in ("/", "/shop/products", product):
        response = filled.get(path)
        assert response.headers["Cache-Control"] == "public, max-age=30", path
        assert "Cookie" not in response.headers["Vary"] and "Accept-Language" in response.headers["Vary"], path
    guest = Browser(filled.url)
    assert guest.get(product).text == response.text
    again = guest.get(product, headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status_code, again.text) == (304, "")


def test_markup_of_a_product_is_text(browser: Browser, shop: Shop) -> None:
    product = shop.product(stock=3, name=MARKUP, price="5.00", description=MARKUP)
    browser.submit("/shop/cart/items", productId=product["id"])
    pages = [browser.get(path).text for path in ("/", f"/shop/products/{product['id']}", "/shop/products")]
    for page in (*pages, browser.cart(), browser.get("/shop/products", params={"q": MARKUP}).text):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in pages[1]
    assert "Only 3 left" in pages[1]


def test_cart_works_by_forms_alone(filled: Browser, kettle: dict[str, Any]) -> None:
    assert "Copper kettle" in filled.cart() and "€2,469.00" in filled.cart()
    changed = filled.submit(f"/shop/cart/items/{kettle['id']}", quantity=3)
    assert (changed.status_code, changed.headers["Location"]) == (303, "/shop/cart")
    assert "€3,703.50" in filled.cart()
    assert ">3<" in filled.get("/shop/cart/summary").text
    filled.submit(f"/shop/cart/items/{kettle['id']}", quantity=0)
    assert "Your cart is empty." in filled.cart()


def test_reading_changes_nothing(filled: Browser, kettle: dict[str, Any]) -> None:
    cart, cookie = filled.cart(), filled.cookie
    for path in (*PUBLIC, *PRIVATE, f"/shop/cart/items/{kettle['id']}?quantity=0", "/shop/cart/items"):
        filled.get(path)
    assert (filled.cart(), filled.cookie) == (cart, cookie)


def test_form_of_another_site_is_refused(filled: Browser, kettle: dict[str, Any]) -> None:
    cart = filled.cart()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://attacker.example"}):
        for path in ("/shop/cart/items", f"/shop/cart/items/{kettle['id']}"):
            response = filled.post(path, data={"productId": kettle["id"], "quantity": 9}, headers=headers)
            assert response.status_code == 403
    assert filled.cart() == cart


@pytest.mark.parametrize("value", ["x", "abc.def", "W10.a.b.c.d", "eyJraWQiOlsxXX0.a.b.c.d", "e30" + ".e30" * 4])
def test_cookie_that_is_not_ours_is_an_empty_session(browser: Browser, value: str) -> None:
    browser.cookie = f"__Host-session={value}"
    assert "Your cart is empty." in browser.cart()


@pytest.mark.parametrize("fields", [{"quantity": "1"}, {"productId": "../x"}, {"productId": "a", "quantity": "1e9"}])
def test_form_with_bad_fields_makes_no_cart(browser: Browser, fields: dict[str, str]) -> None:
    response = browser.submit("/shop/cart/items", **fields)
    assert response.status_code == 422
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/shop/nothing", 404),
        ("/shop/products/none", 404),
        ("/shop/products?minPrice=cheap", 422),
        ("/shop/products?cursor=zz", 422),
        ("/shop/products?q=%00", 422),
    ],
)
def test_error_is_a_page_of_the_shop(browser: Browser, path: str, status: int) -> None:
    response = browser.get(path)
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert '<a class="brand" href="/">' in response.text
    assert "cheap" not in path or "such as 19.90" in response.text


def test_language_is_that_of_the_browser(browser: Browser, kettle: dict[str, Any]) -> None:
    page = browser.get(f"/shop/products/{kettle['id']}", headers={"Accept-Language": "de-AT, en;q=0.5"}).text
    assert '<html lang="de">' in page
    assert "1.234,50\xa0€" in page


def test_variant_is_chosen_and_bought(browser: Browser, shop: Shop) -> None:
    sizes = [{"options": {"size": size}, "price": price} for size, price in (("S", "10.00"), ("M", "12.00"))]
    product = expect(shop.admin().post("/api/products", {"name": "Wool sock", "stock": 9, "variants": sizes}), 201)
    small, medium = product["variants"]
    page = browser.get(f"/shop/products/{medium['id']}").text
    assert f'value="{medium["id"]}" checked' in page and f'value="{small["id"]}" checked' not in page
    browser.submit("/shop/cart/items", productId=medium["id"])
    assert "€12.00" in browser.cart()


def test_service_that_is_away_costs_a_sentence(filled: Browser, shop: Shop, kettle: dict[str, Any]) -> None:
    with shop.frozen("carts"):
        assert filled.get(f"/shop/products/{kettle['id']}").status_code == 200
        summary = filled.get("/shop/cart/summary")
        assert (summary.status_code, "count" in summary.text) == (200, False)
        away = filled.get("/shop/cart")
        assert away.status_code in (503, 504)
        assert "What you have ordered is safe." in away.text
    assert "Copper kettle" in filled.cart(), "the cart is still there"
