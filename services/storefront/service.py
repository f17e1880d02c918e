"""The storefront: pages over the public routes of the other services."""

from chassis.service import Service
from services.storefront import accounts, cart, catalog, checkout, information, orders  # noqa: F401 - they declare pages
from services.storefront.site import pages

service = Service("storefront", stateless=True)
service.serves_pages(pages)
service.calls("users", "products", "orders", "payments", "notifications", "carts")
