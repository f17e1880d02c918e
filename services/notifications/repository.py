"""How recipients and notifications are stored."""

from chassis.events import inbox, outbox
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.notifications.messages import NotificationSent

recipients = Collection("recipients", Index("erasurePending", partial={"erasurePending": True}))
notifications = Collection(
    "notifications", Index("userId", "createdAt"), Index("mailPending", "retryAt", partial={"mailPending": True}), outbox.PENDING
)


def open_recipient(user: str) -> None:
    try:
        recipients.insert({"_id": user, "erased": False, "erasurePending": False, **inbox.new_inbox("users")})
    except Duplicate:
        pass  # known already


def mark_sent(doc: Doc) -> None:
    says, guard = outbox.append_event(
        doc, NotificationSent(notification_id=doc["_id"], user_id=doc["userId"], kind=doc["kind"])
    )
    change = merge_updates({"$set": {"status": "sent", "mailPending": False}}, says)
    notifications.update(doc["_id"], change, when={"mailPending": True, **guard})
