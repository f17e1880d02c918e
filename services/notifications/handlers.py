"""Handlers of the events of other services."""

from chassis.events import inbox
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.store import merge_updates
from services.notifications import application, domain, repository
from services.users.messages import UserCreated, UserDeleted, UserUpdated


def on_user_created(event: UserCreated, meta: Meta) -> None:
    """Keep the address, and say welcome."""
    if _update_address(event.user_id, event.email, meta):
        application.notify(event.user_id, domain.WELCOME, meta)


def on_user_updated(event: UserUpdated, meta: Meta) -> None:
    _update_address(event.user_id, event.email, meta)


def on_user_deleted(event: UserDeleted, meta: Meta) -> None:
    """Erase a person: the address now, the notifications by the sweep."""
    repository.open_recipient(event.user_id)
    gone = {"$set": {"erased": True, "erasurePending": True}, "$unset": {"email": True}}
    repository.recipients.update(event.user_id, merge_updates(gone, inbox.seen(meta)), when=inbox.unseen(meta))


def on_order_event(event: Event, meta: Meta) -> None:
    """Tell a buyer what became of the order."""
    user: str = event.user_id  # type: ignore[attr-defined]
    repository.open_recipient(user)
    application.notify(user, domain.text(event), meta)


def _update_address(user: str, email: str, meta: Meta) -> bool:
    """Take in the address of a person; whether the person is there, and not erased."""
    repository.open_recipient(user)
    change = merge_updates({"$set": {"email": email}}, inbox.seen(meta))
    repository.recipients.update(user, change, when={"erased": False, **inbox.unseen(meta)})
    person = repository.recipients.get(user)
    return person is not None and not person["erased"]
