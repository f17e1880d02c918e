"""Rules of carts: their limits, what a merge and an order change, and what a reader is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import DomainError, ErrorCategory, InvalidInput
from chassis.money import decimal_string
from services.products.messages import PricedItem

MAX_UNITS_PER_LINE = 99
MAX_LINES = 50
MAX_MERGES = 100
"""Carts of guests that one user may merge within the time for which a merge is remembered."""
LOW_STOCK = 5
"""Fewer units than this are `low`: the public never sees the exact stock."""

UNAVAILABLE, OUT_OF_STOCK, INSUFFICIENT_STOCK = "unavailable", "out_of_stock", "insufficient_stock"
PRICE_NOT_CURRENT, SEVERAL_CURRENCIES = "price_not_current", "several_currencies"
LINE_PROBLEMS = (UNAVAILABLE, OUT_OF_STOCK, INSUFFICIENT_STOCK, PRICE_NOT_CURRENT)
CART_PROBLEMS = (*LINE_PROBLEMS, SEVERAL_CURRENCIES)
"""A cart has the problems of its lines, and one of its own: products of several currencies cannot be ordered."""

Lines = Mapping[str, Mapping[str, Any]]
"""The stored lines of a cart, by product."""
Prices = Mapping[str, PricedItem | None]
"""What `products` says now, by product; None for what cannot be ordered."""


class TooManyMerges(DomainError, category=ErrorCategory.RATE_LIMITED):
    """The user has merged as many carts as one cart remembers."""

    def __init__(self) -> None:
        super().__init__("You have merged too many carts. Add the products to your own cart.")


def require_room(lines: Lines, product_id: str, more: int) -> None:
    """Check the limits of a cart to which units of a product are added. Raises InvalidInput."""
    if product_id not in lines and len(lines) >= MAX_LINES:
        raise InvalidInput(("productId", f"a cart has at most {MAX_LINES} products"))
    if product_id in lines and lines[product_id]["quantity"] + more > MAX_UNITS_PER_LINE:
        raise InvalidInput(("quantity", f"a cart has at most {MAX_UNITS_PER_LINE} units of a product"))


def merged(own: Lines, guest: Lines) -> dict[str, Mapping[str, Any]]:
    """Return the lines that a guest's cart changes in the user's own: each gets the larger quantity of both.

    The sum would be wrong: it is one person. What exceeds the limit of lines is left out.
    """
    changed: dict[str, Mapping[str, Any]] = {}
    for product, line in in_order(guest):
        if product not in own and len(own.keys() | changed.keys()) >= MAX_LINES:
            continue
        if product not in own or own[product]["quantity"] < line["quantity"]:
            changed[product] = line
    return changed


def left_after_order(lines: Lines, ordered: Mapping[str, int]) -> dict[str, int]:
    """Return the quantities of the ordered products that stay in a cart: 0 for a line that ends."""
    return {
        product: max(0, lines[product]["quantity"] - quantity)
        for product, quantity in ordered.items()
        if product in lines
    }


def in_order(lines: Lines) -> list[tuple[str, Mapping[str, Any]]]:
    """Return lines in the order in which they were added."""
    return sorted(lines.items(), key=lambda line: (line[1]["addedAt"], line[0]))


@dataclass(frozen=True)
class PricedLine:
    """A line as a reader sees it; `price` is that of one unit."""

    product_id: str
    name: str
    picture: str | None
    quantity: int
    price: str
    price_was: str | None
    stock: str | None
    problems: list[str]
    minor: int
    """The price of the line in minor units of `currency`; 0 if it cannot be ordered."""
    currency: str


def price_line(product_id: str, line: Mapping[str, Any], prices: Prices | None) -> PricedLine:
    """Return a line at its present price, at the kept one where that is not known; `prices` is None if none is."""
    quantity, kept = line["quantity"], decimal_string(line["seenPrice"], line["currency"])
    found = prices.get(product_id) if prices is not None else None
    if found is None:
        minor = 0 if prices is not None else line["seenPrice"] * quantity
        problem = UNAVAILABLE if prices is not None else PRICE_NOT_CURRENT
        return PricedLine(
            product_id, line["name"], None, quantity, kept, None, None, [problem], minor, line["currency"]
        )
    is_other = (found.price, found.currency) != (line["seenPrice"], line["currency"])
    return PricedLine(
        product_id,
        found.name,
        found.picture,
        quantity,
        decimal_string(found.price, found.currency),
        kept if is_other else None,
        _stock_hint(found.stock),
        _stock_problems(found.stock, quantity),
        found.price * quantity,
        found.currency,
    )


def total(lines: Sequence[PricedLine]) -> tuple[str, str] | None:
    """Return the decimal total of the lines that can be ordered, and its currency; None for several or none."""
    counted = [line for line in lines if UNAVAILABLE not in line.problems]
    currencies = {line.currency for line in counted}
    if len(currencies) != 1:
        return None
    (currency,) = currencies
    return decimal_string(sum(line.minor for line in counted), currency), currency


def problems(lines: Sequence[PricedLine]) -> list[str]:
    """Return what keeps a cart from being ordered as it is shown."""
    several = len({line.currency for line in lines if UNAVAILABLE not in line.problems}) > 1
    found = {problem for line in lines for problem in line.problems} | ({SEVERAL_CURRENCIES} if several else set())
    return [problem for problem in CART_PROBLEMS if problem in found]


def _stock_hint(stock: int | None) -> str | None:
    if stock is None:
        return None
    return "out" if stock <= 0 else "low" if stock < LOW_STOCK else "in"


def _stock_problems(stock: int | None, quantity: int) -> list[str]:
    if stock is None or stock >= quantity:
        return []
    return [INSUFFICIENT_STOCK if stock > 0 else OUT_OF_STOCK]
