"""Lighthouse on a phone: at least 95 of 100 in each category. Pages of a user are not for search engines."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.test_journeys import fill_cart, pay, shopper
from tests.browser.window import Window
from tests.system.platform import Shop, eventually

pytestmark = [pytest.mark.embedded, pytest.mark.nightly, pytest.mark.timeout(400)]
VERSION = "12.8.2"
MIN_SCORE = 0.95
CATALOG = Path(__file__).parents[2] / "data" / "catalog.csv"
PUBLIC = {"home": "/", "category": "/shop/products?category=Tents", "product": "/shop/products/linden-2-tent"}
PRIVATE = ("cart", "checkout", "order")


@pytest.fixture(scope="module")
def catalog(shop: Shop) -> None:
    done = shop.mercato("import", "products", str(CATALOG))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def buyer(browser: Any, shop: Shop, catalog: None) -> tuple[dict[str, str], str]:
    """Return the paths of the pages of a user with a full cart and an order, and the cookie that opens them."""
    window = Window(browser, shop.url)
    shopper(window)
    fill_cart(window, {"id": "linden-2-tent"})
    pay(window)
    order = window.page.url.removeprefix(shop.url)
    eventually(lambda: window.visit("/shop/cart").get_by_text("Your cart is empty.").count())
    fill_cart(window, {"id": "linden-2-tent"})
    cookie = "; ".join(f"{name}={each['value']}" for name, each in window.cookies().items())
    window.close()
    return {"cart": "/shop/cart", "checkout": "/shop/checkout", "order": order}, cookie


def scores(url: str, folder: Path, cookie: str = "") -> dict[str, float]:
    """Return category -> score, from 0 to 1."""
    report = folder / "report.json"
    flags = f"--chrome-flags=--headless=new {' '.join(ARGUMENTS)}"
    command = ["npx", "--yes", f"lighthouse@{VERSION}", url, flags, "--quiet", "--output=json"]
    headers = [f"--extra-headers={json.dumps({'Cookie': cookie})}"] if cookie else []
    environment = {**os.environ, "CHROME_PATH": str(CHROMIUM)}
    done = subprocess.run(
        [*command, *headers, f"--output-path={report}"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(report.read_text())["categories"]
    return {name: each["score"] for name, each in found.items()}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_page(shop: Shop, catalog: None, tmp_path: Path, name: str) -> None:
    found = scores(shop.url + PUBLIC[name], tmp_path)
    print(name, found)
    assert {category for category, score in found.items() if score < MIN_SCORE} == set()


@pytest.mark.parametrize("name", PRIVATE)
def test_page_of_a_user(shop: Shop, buyer: tuple[dict[str, str], str], tmp_path: Path, name: str) -> None:
    paths, cookie = buyer
    found = scores(shop.url + paths[name], tmp_path, cookie)
    print(name, found)
    assert {category for category, score in found.items() if score < MIN_SCORE} <= {"seo"}
