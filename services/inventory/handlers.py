"""Handlers of the events of other services."""

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.store import merge_updates
from services.inventory import domain, repository
from services.orders.messages import OrderCancelled
from services.products.messages import ProductCreated, ProductDeleted


def on_product_created(event: ProductCreated, meta: Meta) -> None:
    """Make the stock if the product's own service could not ask for it."""
    repository.open_stock(event.product_id, event.initial_stock, closed=False)


def on_product_deleted(event: ProductDeleted, meta: Meta) -> None:
    """No new reservation from now on; those that are open run out."""
    repository.open_stock(event.product_id, 0, closed=True)
    repository.stock.update(
        event.product_id, domain.with_stock_changed({"$set": {"closed": True}}), when={"closed": False}
    )


def on_order_cancelled(event: OrderCancelled, meta: Meta) -> None:
    """Note that the units of a cancelled order must come back; the sweep brings them."""
    change = merge_updates({"$set": {"returnPending": True}}, inbox.seen(meta))
    repository.reservations.update(event.order_id, change, when=inbox.unseen(meta))
