"""Settings of the storefront."""

from functools import cache
from typing import Literal

from chassis.settings import Settings, WebAddress


class StorefrontSettings(Settings):
    """Settings of every service, and those of the storefront."""

    shop_name: str = "Mercato"
    """Name of the shop, in its header and in the titles of pages."""
    public_url: WebAddress = "http://127.0.0.1:8080"
    """Where shoppers reach the shop: the addresses in the sitemap begin with it."""
    payment_provider: Literal["test", "stripe"] = "test"
    """That of `payments`. With `stripe`, the checkout says that it takes no cards; the API does."""
    imprint: str = ""
    """Who runs the shop; a page of its own, a paragraph for each line."""
    terms: str = ""
    """Terms of sale, in the same form."""
    privacy: str = ""
    """Which personal data the shop processes, and why, in the same form."""
    security_contact: str = ""
    """Whom to tell about a vulnerability, `mailto:` or `https:`. Empty: there is no /.well-known/security.txt."""


@cache
def settings() -> StorefrontSettings:
    """Return the settings of this process."""
    return StorefrontSettings.from_environment()
