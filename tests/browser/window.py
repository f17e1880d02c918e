"""A window of Chromium on the shop that notices what a shopper would not: errors, foreign requests, poor semantics.

window = Window(browser, shop.url, width=390)
window.visit("/shop/cart")
window.check("cart")
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

HERE = Path(__file__).parent
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
HEIGHT_PX = 900
EXPECTED = "Failed to load resource: the server responded with a status of 4"
"""Chromium logs an error for each response of this kind, also where it is the right one."""


class Window:
    """One browser context with its own cookies, and one page in it."""

    def __init__(self, browser: Browser, url: str, width: int = 1280, language: str = "en-US", **options: Any) -> None:
        self.url = url
        self.errors: list[str] = []
        self.has_scripts = bool(options.get("java_script_enabled", True))
        self._host = urlsplit(url).netloc
        self.context = browser.new_context(
            base_url=url, locale=language, viewport={"width": width, "height": HEIGHT_PX}, **options
        )
        self.context.set_default_timeout(20_000)
        self.page = self.tab()

    def tab(self) -> Page:
        """Open another tab of the same session."""
        page = self.context.new_page()
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"script: {error}"))
        page.on("request", self._on_request)
        return page

    def visit(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def violations(self) -> list[str]:
        """Return what axe finds on the page, a line for each element."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", WCAG)
        return [
            f"{rule['id']}: {rule['help']}: {node['html'][:160]}"
            for rule in found["violations"]
            for node in rule["nodes"]
        ]

    def overflow_px(self) -> int:
        """Return how far the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def check(self) -> None:
        """Fail if the page is not accessible, scrolls sideways, or has logged an error."""
        assert self.violations() == []
        assert self.overflow_px() <= 0, f"{self.page.url} scrolls sideways by {self.overflow_px()} px"
        assert self.errors == []

    def cookies(self) -> dict[str, dict[str, Any]]:
        return {str(each["name"]): dict(each) for each in self.context.cookies()}

    def close(self) -> None:
        self.context.close()
        assert self.errors == []

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
            self.errors.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith("data:") and urlsplit(request.url).netloc != self._host:
            self.errors.append(f"request to another host: {request.url}")


@contextmanager
def windows(browser: Browser, url: str) -> Iterator[Callable[..., Window]]:
    """Yield a function that opens a window; at the end none may have logged an error."""
    opened: list[Window] = []

    def open_window(**options: Any) -> Window:
        opened.append(Window(browser, url, **options))
        return opened[-1]

    yield open_window
    for each in opened:
        each.close()
