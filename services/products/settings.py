"""Settings of products."""

from functools import cache

from pydantic import field_validator

from chassis.settings import Settings


class ProductsSettings(Settings):
    """Settings of every service, and those of products."""

    currency: str = "EUR"
    """Currency of prices that name none, and of price filters: an ISO 4217 code."""
    picture_hosts: frozenset[str] = frozenset()
    """Hosts from which pictures of imports are downloaded, `cdn.shopify.com,img.example:8443`. Empty: none are."""

    @field_validator("picture_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return [host.strip().lower() for host in value.split(",") if host.strip()] if isinstance(value, str) else value


@cache
def settings() -> ProductsSettings:
    """Return the settings of this process."""
    return ProductsSettings.from_environment()
