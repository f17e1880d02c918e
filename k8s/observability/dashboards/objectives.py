"""The objectives of 30 days, from the series that the rules record."""

from queries import series

AVAILABILITY = (series("service:http_server_errors:rate5m"), series("service:http_server_requests:rate5m"))
"""Public requests that failed, and all of them."""
CHECKOUT = (series("platform:checkouts_slow:rate5m"), series("platform:checkouts:rate5m"))
"""Placed orders that were not decided in time, and all of them."""


def bad_share(bad: str, all: str) -> str:
    """Return the share of 30 days that was bad."""
    return f"sum(sum_over_time({bad}[30d])) / sum(sum_over_time({all}[30d]))"


def good_share(bad: str, all: str) -> str:
    """Return the share of 30 days that was good."""
    return f"1 - {bad_share(bad, all)}"


def budget_left(bad: str, all: str, budget: float) -> str:
    """Return the share of the error budget that is left; negative if it is overspent."""
    return f"1 - {bad_share(bad, all)} / {budget}"
