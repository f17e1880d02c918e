"""Settings of orders."""

from functools import cache
from typing import Literal

from pydantic import Field

from chassis.settings import Seconds, Settings


class OrdersSettings(Settings):
    """Settings of every service, and those of orders."""

    payment_provider: Literal["test", "stripe"] = "test"
    """That of `payments`: it decides which tokens an order may have."""
    checkout_deadline: Seconds = 1.0
    """Time that `POST /api/orders` waits for the checkout before it answers 202."""
    open_checkouts: int = Field(5, ge=1)
    """Maximum number of pending orders of one user; without rate limits, any number."""
    order_units: int = Field(10_000, ge=1)
    """Units that one order may have, and units of one product in the orders of a user in 24 hours.

    A user without a confirmed e-mail address may order a tenth of that in 24 hours.
    """


@cache
def settings() -> OrdersSettings:
    """Return the settings of this process."""
    return OrdersSettings.from_environment()
