"""Settings of products."""

from functools import cache

from chassis.settings import Settings


class ProductsSettings(Settings):
    """Settings of every service, and those of products."""

    currency: str = "EUR"
    """Currency of prices that name none, and of price filters: an ISO 4217 code."""


@cache
def settings() -> ProductsSettings:
    """Return the settings of this process."""
    return ProductsSettings.from_environment()
