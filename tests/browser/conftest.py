"""One shop and one Chromium for all journeys: `make test-browser`."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: make test-browser installs it")

from tests.browser.window import Window, windows  # noqa: E402
from tests.system.platform import Shop  # noqa: E402

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ("--no-sandbox", "--disable-dev-shm-usage")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.exit(f"no browser at {CHROMIUM}: apt-get install chromium, or set CHROMIUM", returncode=1)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    platform = Shop(tmp_path_factory.mktemp("shop"), RATE_LIMITS="off")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture
def window(browser: Any, shop: Shop) -> Iterator[Callable[..., Window]]:
    with windows(browser, shop.url) as open_window:
        yield open_window
