"""How recipients and notifications are stored."""

from chassis.events import outbox
from chassis.events.erasure import Subjects
from chassis.store import Collection, Doc, Index, merge_updates
from services.notifications.messages import NotificationSent

recipients = Subjects("recipients", "users", "email")
notifications = Collection(
    "notifications",
    Index("userId", "createdAt"),
    Index("mailPending", "retryAt", partial={"mailPending": True}),
    outbox.PENDING_INDEX,
)


def mark_sent(notification: Doc) -> None:
    """Mark a notification as sent, and publish NotificationSent."""
    id, user, kind = notification["_id"], notification["userId"], notification["kind"]
    publish, guard = outbox.append_event(notification, NotificationSent(notification_id=id, user_id=user, kind=kind))
    update = merge_updates({"$set": {"status": "sent", "mailPending": False}}, publish)
    notifications.update(id, update, when={"mailPending": True, **guard})
