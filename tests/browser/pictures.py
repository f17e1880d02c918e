"""Takes the pictures of README: `python -m tests.browser.pictures`. `make test-browser` installs what it needs."""

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.test_journeys import fill_cart, pay, shopper
from tests.browser.window import Window
from tests.system.platform import Shop

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"


def main() -> None:
    """Fill a shop with the sample catalog, and show its home page and an order."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        shop = Shop(Path(folder), RATE_LIMITS="off")
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            shop.up()
            done = shop.mercato("import", "products", str(ROOT / "data" / "catalog.csv"))
            assert done.returncode == 0, done.stderr
            wide, phone = Window(browser, shop.url, width=1280), Window(browser, shop.url, width=390)
            wide.visit("/").wait_for_load_state("networkidle")
            wide.page.screenshot(path=FOLDER / "shop-home.png")
            shopper(phone)
            fill_cart(phone, {"id": "linden-2-tent"})
            pay(phone)
            phone.page.locator("#progress .confirmed").wait_for()
            phone.page.screenshot(path=FOLDER / "shop-order.png")
        finally:
            browser.close()
            shop.down()


if __name__ == "__main__":
    main()
