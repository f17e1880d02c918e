"""How recipients and notifications are stored."""

from chassis import clock
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
account_mails = Collection(
    "account_mails",
    Index("userId"),
    Index("expiresAt"),
    Index("mailPending", "retryAt", partial={"mailPending": True}),
)
"""Mails about accounts. Once one is sent, its document keeps its id alone, so that a repeated command sends none."""


def mark_sent(notification: Doc) -> None:
    """Mark a notification as mailed, and publish NotificationSent unless it counts as sent already."""
    if notification["status"] == "sent":
        notifications.update(notification["_id"], {"$set": {"mailPending": False}})
        return
    id, user, kind = notification["_id"], notification["userId"], notification["kind"]
    publish, guard = outbox.append_event(notification, NotificationSent(notification_id=id, user_id=user, kind=kind))
    update = merge_updates({"$set": {"status": "sent", "mailPending": False}}, publish)
    notifications.update(id, update, when={"mailPending": True, **guard})


def mark_account_mail_sent(account_mail: Doc) -> None:
    """Delete address and text of a mail about an account."""
    sent = {"$set": {"mailPending": False}, "$unset": {"address": True, "subject": True, "body": True}}
    account_mails.update(account_mail["_id"], sent)


def delete_expired_account_mails() -> None:
    """Delete the expired mails about accounts, whether sent or not."""
    account_mails.delete_all({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt")
