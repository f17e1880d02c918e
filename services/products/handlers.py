"""Handlers of events: the stock that the catalog shows, and what a product shows of its variants."""

from chassis.events.envelope import Meta
from services.inventory.messages import StockChanged
from services.products import application, variants
from services.products.messages import ProductCreated, ProductDeleted, ProductUpdated


def on_stock_changed(event: StockChanged, meta: Meta) -> None:
    """Store the stock that the catalog shows; the latest wins, and events in between may be missing."""
    application.update_stock(event.product_id, event.available, meta.sequence)


def on_product_changed(event: ProductCreated | ProductUpdated | ProductDeleted, meta: Meta) -> None:
    """Show a variant in its product as it is now."""
    variants.refresh(event.product_id)
