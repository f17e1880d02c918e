"""Use case: notify a user."""

from chassis import clock
from chassis.events import outbox
from chassis.events.envelope import Meta
from services.notifications import domain, repository
from services.notifications.messages import NotificationSent
from services.notifications.settings import settings


def notify(user: str, text: domain.Text, meta: Meta) -> None:
    """Record the notification of a user about an event, once however often the event is delivered.

    Where a mail server is set, a job mails it; an erased user gets none.
    """
    by_mail = bool(settings().smtp_url)
    id = meta.id.replace(":", "-")
    events = [] if by_mail else [NotificationSent(notification_id=id, user_id=user, kind=text.kind)]
    notification = {
        "_id": id,
        "userId": user,
        "kind": text.kind,
        "subject": text.subject,
        "body": text.body,
        "channel": "email" if by_mail else "record",
        "status": "pending" if by_mail else "sent",
        "mailPending": by_mail,
        "retryAt": clock.timestamp(),
        "createdAt": clock.timestamp(),
        **outbox.new_outbox(id, *events),
    }
    repository.recipients.insert_about(user, repository.notifications, notification)
