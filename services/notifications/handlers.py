"""Handlers of the events of other services."""

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.store import merge_updates
from services.notifications import application, domain, repository
from services.users.messages import UserCreated, UserDeleted, UserUpdated


def on_user_created(event: UserCreated, meta: Meta) -> None:
    """Store the address of a new user, and welcome the user."""
    if _update_address(event.user_id, event.email, meta):
        application.notify(event.user_id, domain.WELCOME, meta)


def on_user_updated(event: UserUpdated, meta: Meta) -> None:
    """Store the new address of a user."""
    _update_address(event.user_id, event.email, meta)


def on_user_deleted(event: UserDeleted, meta: Meta) -> None:
    """Erase the address of a user; a job deletes the notifications."""
    repository.add_recipient(event.user_id)
    erase = {"$set": {"erased": True, "erasurePending": True}, "$unset": {"email": True}}
    repository.recipients.update(event.user_id, merge_updates(erase, inbox.seen(meta)), when=inbox.unseen(meta))


def on_order_event(event: Event, meta: Meta) -> None:
    """Notify the buyer of a change of the order."""
    user: str = event.user_id  # type: ignore[attr-defined]
    repository.add_recipient(user)
    application.notify(user, domain.order_text(event), meta)


def _update_address(user: str, email: str, meta: Meta) -> bool:
    """Store the address of a user unless the user is erased; return whether the user exists and is not erased."""
    repository.add_recipient(user)
    update = merge_updates({"$set": {"email": email}}, inbox.seen(meta))
    repository.recipients.update(user, update, when={"erased": False, **inbox.unseen(meta)})
    recipient = repository.recipients.get(user)
    return recipient is not None and not recipient["erased"]
