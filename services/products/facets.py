"""Facets of a list: its categories, tags, vendors and price bounds, with the number of products of each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chassis.store import Doc

MAX_VALUES = 1000
"""Values of one facet: the most frequent ones."""
Counts = list[tuple[str, int]]


@dataclass(frozen=True)
class Facets:
    """Values with their counts, the most frequent first; `prices` are (currency, lowest, highest) in minor units."""

    categories: Counts
    tags: Counts
    vendors: Counts
    prices: list[tuple[str, int, int]]


def count_facets(products: Sequence[Doc]) -> Facets:
    """Return the facets of these products."""
    prices: dict[str, list[int]] = {}
    for product in products:
        prices.setdefault(product["currency"], []).append(product["price"])
    return Facets(
        categories=_count(product["category"] for product in products),
        tags=_count(tag for product in products for tag in set(product["tags"])),
        vendors=_count(product["vendor"] for product in products),
        prices=[(currency, min(found), max(found)) for currency, found in sorted(prices.items())],
    )


def _count(values: Iterable[str]) -> Counts:
    counts = Counter(value for value in values if value)
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_VALUES]
