"""Handler of the events of `inventory`: the stock that the catalog shows."""

from chassis.events.envelope import Meta
from services.inventory.messages import StockChanged
from services.products import repository


def on_stock_changed(event: StockChanged, meta: Meta) -> None:
    """Store the stock that the catalog shows; the latest wins, and events in between may be missing."""
    repository.update_stock(event.product_id, event.available, meta.sequence)
