"""Background jobs: publish which carts are abandoned, and delete the expired ones."""

from chassis import clock
from chassis.events import outbox
from chassis.events.set_aside import SetAside
from chassis.store import Doc, Update, merge_updates
from services.carts import domain
from services.carts.messages import AbandonedItem, CartAbandoned
from services.carts.repository import carts

_abandoned = SetAside("publish_abandoned")


def publish_abandoned() -> None:
    """Publish once that a user left lines in a cart: again only after the next change of the cart."""
    _abandoned.work_through(carts, {"abandonAt": {"$lt": clock.timestamp()}}, _publish, sort="abandonAt")


def _publish(cart: Doc) -> None:
    update: Update = {"$unset": {"abandonAt": True}}
    guard = {"version": cart["version"], "abandonAt": cart["abandonAt"]}
    if cart["items"]:
        items = [
            AbandonedItem(product_id=id, name=line["name"], quantity=line["quantity"])
            for id, line in domain.in_order(cart["items"])
        ]
        event = CartAbandoned(cart_id=cart["_id"], user_id=cart["userId"], items=items)
        publish, unchanged = outbox.append_event(cart, event)
        update, guard = merge_updates(update, publish), {**guard, **unchanged}
    carts.update(cart["_id"], update, when=guard)
