"""Use case: notify a user."""

from chassis import clock
from chassis.events import outbox
from chassis.events.envelope import Meta
from chassis.store import Duplicate
from services.notifications import repository
from services.notifications.messages import NotificationSent
from services.notifications.settings import settings


def notify(user: str, text: tuple[str, str, str], meta: Meta) -> None:
    kind, subject, body = text
    mailed = bool(settings().smtp_url)
    id = meta.id.replace(":", "-")
    told = [] if mailed else [NotificationSent(notification_id=id, user_id=user, kind=kind)]
    person = repository.recipients.get(user)
    if person and person["erased"]:
        return
    try:
        repository.notifications.insert(
            {
                "_id": id,
                "userId": user,
                "kind": kind,
                "subject": subject,
                "body": body,
                "channel": "email" if mailed else "record",
                "status": "pending" if mailed else "sent",
                "mailPending": mailed,
                "retryAt": clock.timestamp(),
                "createdAt": clock.timestamp(),
                **outbox.new_outbox(id, *told),
            }
        )
    except Duplicate:
        return
    # Erased between the look and the insert: let the sweep look once more.
    repository.recipients.update(user, {"$set": {"erasurePending": True}}, when={"erased": True})
