"""Handlers of the events of other services."""

from dataclasses import replace

from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.store import Doc
from services.carts.messages import CartAbandoned
from services.notifications import application, domain, repository, texts
from services.orders.messages import OrderConfirmed, OrderPlaced
from services.users.messages import SessionsRevoked, UserCreated, UserDeleted, UserUpdated


def on_user_created(event: UserCreated, meta: Meta) -> None:
    """Store the address of a new user, and welcome the user."""
    if repository.recipients.set_personal(event.user_id, _personal(event), meta):
        application.notify(event.user_id, "welcome", meta)


def on_user_updated(event: UserUpdated, meta: Meta) -> None:
    """Store the new address of a user."""
    repository.recipients.set_personal(event.user_id, _personal(event), meta)
    repository.forget_former_bounce(event.user_id)


def _personal(event: UserCreated | UserUpdated) -> Doc:
    """Return the fields of a recipient; an event of release 0.2.0 names no language, and agrees to no advertising."""
    return {
        "email": event.email,
        "language": event.language or texts.LANGUAGES[0],
        "marketing": bool(event.marketing),
    }


def on_user_deleted(event: UserDeleted, meta: Meta) -> None:
    """Erase the address of a user; a job deletes the notifications."""
    repository.recipients.erase(event.user_id, meta)


def on_sessions_revoked(event: SessionsRevoked, meta: Meta) -> None:
    """Warn the owner of a session that somebody else may have used."""
    if event.reason == "refresh_reuse":
        repository.recipients.add(event.user_id)
        application.notify(event.user_id, "session_ended", meta)


def on_order_placed(event: OrderPlaced, meta: Meta) -> None:
    """Keep the lines and the total of an order for the mail that confirms it."""
    lines = [{"name": each.name, "quantity": each.quantity, "price": each.price} for each in event.items]
    placed = {"_id": event.order_id, "userId": event.user_id, "lines": lines}
    repository.recipients.add(event.user_id)
    repository.recipients.insert_about(
        event.user_id, repository.placed_orders, placed | {"total": event.total_amount, "currency": event.currency}
    )


def on_cart_abandoned(event: CartAbandoned, meta: Meta) -> None:
    """Remind a user of the cart who agreed to mails that advertise; nobody else."""
    if repository.wants_advertising(event.user_id):
        items = ", ".join(f"{item.quantity} × {item.name}" for item in event.items)
        of_cart = replace(meta, id=f"cart-{meta.id}")  # a cart has the id of its user, whose events have such ids, too
        application.notify(event.user_id, domain.CART_ABANDONED, of_cart, items=items)


def on_order_event(event: Event, meta: Meta) -> None:
    """Notify the buyer of a change of the order."""
    user: str = event.user_id  # type: ignore[attr-defined]
    placed = repository.placed_orders.get(event.subject) if isinstance(event, OrderConfirmed) else None
    receipt = {name: placed[name] for name in ("lines", "total", "currency")} if placed else None
    repository.recipients.add(user)
    application.notify(
        user,
        domain.ORDER_EVENTS[type(event)],
        meta,
        receipt,
        order=event.subject,
        reason=getattr(event, "reason", ""),
    )
    if isinstance(event, domain.DECISIONS):
        repository.placed_orders.delete(event.subject)
