"""Handler of the events of `inventory`: the stock that the catalog shows."""

from chassis.events.envelope import Meta
from services.inventory.messages import StockChanged
from services.products import repository


def on_stock_changed(event: StockChanged, meta: Meta) -> None:
    """Follow the stock: the latest wins, whatever came in between."""
    repository.update_stock(event.product_id, event.available, meta.sequence)
