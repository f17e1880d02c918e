"""Settings of orders."""

from functools import cache

from pydantic import Field

from chassis.settings import Seconds, Settings


class OrdersSettings(Settings):
    """Settings of every service, and those of orders."""

    checkout_deadline: Seconds = 1.0
    """Time that `POST /api/orders` waits for the checkout before it answers 202."""
    open_checkouts: int = Field(5, ge=1)
    """Maximum number of pending orders of one user; without rate limits, any number."""
    order_units: int = Field(10_000, ge=1)
    """Units of all lines that one order may have."""


@cache
def settings() -> OrdersSettings:
    """Return the settings of this process."""
    return OrdersSettings.from_environment()
