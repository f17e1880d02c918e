"""Each page in each state: accessible by WCAG 2.2 AA, valid HTML, no sideways scroll; a picture of each, to look at.

The pictures are in `.mercato/pages/`: of 390 and 1280 px, light and dark.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_journeys import fill_cart, pay, shopper
from tests.browser.window import HERE, Window, windows
from tests.system.platform import Shop, eventually

pytestmark = pytest.mark.embedded
PICTURES = Path(__file__).parents[2] / ".mercato" / "pages"
HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}"

GUEST_PAGES = {
    "home": "/",
    "products": "/shop/products",
    "category": "/shop/products?category=Lights",
    "filtered": "/shop/products?category=Lights&inStock=true&sort=price",
    "search": "/shop/products?q=lantren",
    "nothing-found": "/shop/products?q=zzzzzz",
    "product": "/shop/products/LANTERN",
    "sold-out": "/shop/products/SOLD",
    "hostile": "/shop/products/HOSTILE",
    "empty-cart": "/shop/cart",
    "sign-in": "/shop/sign-in",
    "sign-up": "/shop/sign-up",
    "verify": "/shop/verify",
    "reset": "/shop/reset",
    "imprint": "/shop/imprint",
    "terms": "/shop/terms",
    "privacy": "/shop/privacy",
    "missing": "/shop/products/none",
}
USER_PAGES = {
    "cart": "/shop/cart",
    "checkout": "/shop/checkout",
    "orders": "/shop/orders",
    "confirmed": "/shop/orders/CONFIRMED",
    "rejected": "/shop/orders/REJECTED",
    "account": "/shop/account",
    "notifications": "/shop/notifications",
}


@pytest.fixture(scope="module")
def ids(shop: Shop) -> dict[str, str]:
    lantern = shop.product(stock=50, name="Storm lantern", price="25.00", category="Lights", description="Two\nlines.")
    sold = shop.product(stock=0, name="Headlamp", price="39.00", category="Lights")
    hostile = shop.product(stock=3, name=HOSTILE, price="1.00", category="Lights", description=HOSTILE)
    return {"LANTERN": lantern["id"], "SOLD": sold["id"], "HOSTILE": hostile["id"]}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that collects the HTML of each page, as the server sent it."""
    return tmp_path_factory.mktemp("html")


@pytest.fixture(scope="module")
def open_window(browser: Any, shop: Shop) -> Iterator[Callable[..., Window]]:
    with windows(browser, shop.url) as open_window:
        yield open_window


@pytest.fixture(scope="module")
def guest(open_window: Callable[..., Window]) -> Window:
    return open_window()


@pytest.fixture(scope="module")
def buyer(open_window: Callable[..., Window], ids: dict[str, str]) -> Window:
    """Return the window of a buyer with a confirmed order, a rejected one, and a full cart."""
    window = open_window()
    shopper(window)
    for name, card in (("CONFIRMED", "A card that pays"), ("REJECTED", "A card that is declined")):
        fill_cart(window, {"id": ids["LANTERN"]})
        pay(window, card)
        window.page.locator("#progress .confirmed, #progress .rejected").wait_for()
        ids[name] = window.page.url.rpartition("/")[2]
        if name == "CONFIRMED":
            eventually(lambda: window.visit("/shop/cart").get_by_text("Your cart is empty.").count())
    fill_cart(window, {"id": ids["LANTERN"]})
    return window


def look_at(window: Window, name: str, path: str, sources: Path) -> None:
    """Check a page in light and dark, wide and narrow, take its pictures, and keep its HTML."""
    page = window.page
    response = page.goto(path)
    assert response is not None
    (sources / f"{name}.html").write_text(response.text())
    page.wait_for_load_state("networkidle")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True)
        assert window.violations() == []
    page.set_viewport_size({"width": 320, "height": 900})
    window.check()
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("name", GUEST_PAGES)
def test_page_of_a_guest(guest: Window, ids: dict[str, str], sources: Path, name: str) -> None:
    *folders, last = GUEST_PAGES[name].split("/")
    look_at(guest, name, "/".join([*folders, ids.get(last, last)]), sources)


@pytest.mark.parametrize("name", USER_PAGES)
def test_page_of_a_user(buyer: Window, ids: dict[str, str], sources: Path, name: str) -> None:
    *folders, last = USER_PAGES[name].split("/")
    look_at(buyer, name, "/".join([*folders, ids.get(last, last)]), sources)
    assert buyer.page.locator('meta[name="robots"][content*="noindex"]').count() == 1


def test_refused_form_is_accessible(guest: Window) -> None:
    page = guest.visit("/shop/sign-up")
    page.get_by_label("Name").fill("A")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Create account").click()
    page.get_by_role("alert").wait_for()
    field = page.locator("[aria-invalid=true]").first
    assert page.locator(f"#{field.get_attribute('aria-describedby')}").inner_text()
    guest.check()


def test_stored_markup_is_text(guest: Window, ids: dict[str, str]) -> None:
    page = guest.visit(f"/shop/products/{ids['HOSTILE']}")
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("media", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}])
def test_preferences_of_a_system(guest: Window, ids: dict[str, str], media: dict[str, str]) -> None:
    page = guest.visit(f"/shop/products/{ids['LANTERN']}")
    page.emulate_media(**media)
    guest.check()
    page.emulate_media(forced_colors="none", reduced_motion="no-preference")


def test_zoom_of_200_percent(guest: Window, ids: dict[str, str]) -> None:
    page = guest.visit(f"/shop/products/{ids['LANTERN']}")
    page.set_viewport_size({"width": 640, "height": 450})  # what a window of 1280 px shows at 200 %
    guest.check()
    page.set_viewport_size({"width": 1280, "height": 900})


def test_html_of_each_page_is_valid(sources: Path) -> None:
    files = sorted(map(str, sources.glob("*.html")))
    assert len(files) == len(GUEST_PAGES) + len(USER_PAGES)
    validator = HERE / "node_modules" / ".bin" / "html-validate"
    command = [str(validator), "--config", str(HERE / ".htmlvalidate.json"), "--formatter", "text", *files]
    done = subprocess.run(command, capture_output=True, text=True, cwd=sources)
    assert done.returncode == 0, done.stdout + done.stderr
