"""The objectives of 30 days, from the series that the rules record."""

from queries import series

AVAILABILITY = (series("service:http_server_errors:rate5m"), series("service:http_server_requests:rate5m"))
"""Public requests that failed, and all of them."""
CHECKOUT = (series("platform:checkouts_slow:rate5m"), series("platform:checkouts:rate5m"))
"""Placed orders that were not decided in time, and all of them."""


def good_share(bad: str, all: str) -> str:
    """Return the share of 30 days that was good, 1 if nothing happened."""
    return budget_left(bad, all, 1)


def budget_left(bad: str, all: str, budget: float) -> str:
    """Return the share of the error budget that is left, 1 if nothing happened; negative if it is overspent."""
    failed, every = (f"sum(sum_over_time({each}[30d]))" for each in (bad, all))
    return f"1 - {failed} / ({every} > 0) / {budget} or 1 + 0 * {every}"
