"""How recipients and notifications are stored."""

from chassis.events import inbox, outbox
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.notifications.messages import NotificationSent

recipients = Collection("recipients", Index("erasurePending", partial={"erasurePending": True}))
notifications = Collection(
    "notifications",
    Index("userId", "createdAt"),
    Index("mailPending", "retryAt", partial={"mailPending": True}),
    outbox.PENDING,
)


def add_recipient(user: str) -> None:
    """Insert a user as a recipient without an address, unless the user exists."""
    try:
        recipients.insert({"_id": user, "erased": False, "erasurePending": False, **inbox.new_inbox("users")})
    except Duplicate:
        pass


def mark_sent(notification: Doc) -> None:
    """Mark a notification as sent, and publish NotificationSent."""
    id, user, kind = notification["_id"], notification["userId"], notification["kind"]
    publish, guard = outbox.append_event(notification, NotificationSent(notification_id=id, user_id=user, kind=kind))
    update = merge_updates({"$set": {"status": "sent", "mailPending": False}}, publish)
    notifications.update(id, update, when={"mailPending": True, **guard})
