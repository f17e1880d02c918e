"""Handlers of the events of other services."""

from chassis.events.envelope import Meta
from chassis.messages import Event
from services.notifications import application, domain, repository
from services.users.messages import SessionsRevoked, UserCreated, UserDeleted, UserUpdated


def on_user_created(event: UserCreated, meta: Meta) -> None:
    """Store the address of a new user, and welcome the user."""
    if repository.recipients.set_personal(event.user_id, {"email": event.email}, meta):
        application.notify(event.user_id, domain.WELCOME, meta)


def on_user_updated(event: UserUpdated, meta: Meta) -> None:
    """Store the new address of a user."""
    repository.recipients.set_personal(event.user_id, {"email": event.email}, meta)


def on_user_deleted(event: UserDeleted, meta: Meta) -> None:
    """Erase the address of a user; a job deletes the notifications."""
    repository.recipients.erase(event.user_id, meta)


def on_sessions_revoked(event: SessionsRevoked, meta: Meta) -> None:
    """Warn the owner of a session that somebody else may have used."""
    if event.reason == "refresh_reuse":
        repository.recipients.add(event.user_id)
        application.notify(event.user_id, domain.SESSION_ENDED, meta)


def on_order_event(event: Event, meta: Meta) -> None:
    """Notify the buyer of a change of the order."""
    user: str = event.user_id  # type: ignore[attr-defined]
    repository.recipients.add(user)
    application.notify(user, domain.order_text(event), meta)
