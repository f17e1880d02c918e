"""Handlers of the events of other services."""

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.store import merge_updates
from services.inventory import domain, repository
from services.orders.messages import OrderCancelled
from services.products.messages import ProductCreated, ProductDeleted


def on_product_created(event: ProductCreated, meta: Meta) -> None:
    """Open the stock, in case `products` crashed before it sent `StockProduct`."""
    repository.open_stock(event.product_id, event.initial_stock, closed=False)


def on_product_deleted(event: ProductDeleted, meta: Meta) -> None:
    """Close the stock: it takes no new reservations, and those that exist run out."""
    repository.open_stock(event.product_id, 0, closed=True)
    close = domain.with_stock_changed({"$set": {"closed": True}})
    repository.stock.update(event.product_id, close, when={"closed": False})


def on_order_cancelled(event: OrderCancelled, meta: Meta) -> None:
    """Record the intent to return the units of a canceled order; a job carries it out."""
    update = merge_updates({"$set": {"returnPending": True}}, inbox.mark_applied(meta))
    repository.reservations.update(event.order_id, update, when=inbox.not_applied(meta))
