"""How recipients and notifications are stored."""

from chassis import clock
from chassis.events import outbox
from chassis.events.erasure import Subjects
from chassis.store import Collection, Doc, Index, Update, merge_updates
from services.notifications.messages import NotificationSent

recipients = Subjects("recipients", "users", "email", "language", "marketing", "bounce")
placed_orders = Collection("placed_orders", Index("userId"))
"""The lines and the total of orders that are not decided yet."""
notifications = Collection(
    "notifications",
    Index("userId", "createdAt"),
    Index("mailPending", "retryAt", partial={"mailPending": True}),
    Index("unsubscribePending", partial={"unsubscribePending": True}),
    outbox.PENDING_INDEX,
)
account_mails = Collection(
    "account_mails",
    Index("userId"),
    Index("expiresAt"),
    Index("mailPending", "retryAt", partial={"mailPending": True}),
)
"""Mails about accounts. Once one is sent, its document keeps its id alone, so that a repeated command sends none."""


def language_of(user: str) -> str:
    """Return the language of a user; "" if it is not known."""
    return str((recipients.get(user) or {}).get("language", ""))


def wants_advertising(user: str) -> bool:
    """Return whether a user agreed to mails that advertise."""
    return bool((recipients.get(user) or {}).get("marketing", False))


def is_suppressed(user: str, address: str) -> bool:
    """Return whether an address of a user bounced for good."""
    recipient = recipients.get(user)
    return recipient is not None and recipient.get("bounce", {}).get("email") == address


def suppress(user: str, address: str, code: int, text: str) -> None:
    """Send no more mail to an address that bounced for good, as long as it is that of the user."""
    bounce = {"email": address, "code": code, "text": text, "at": clock.timestamp()}
    recipients.update(user, {"$set": {"bounce": bounce}}, when={"erased": False, "email": address})


def forget_former_bounce(user: str) -> None:
    """Delete the record of a bounce if the user has another address now."""
    recipient = recipients.get(user) or {}
    if "bounce" in recipient and recipient["bounce"]["email"] != recipient.get("email"):
        former = {"bounce.email": recipient["bounce"]["email"]}
        recipients.update(user, {"$unset": {"bounce": True}}, when=former)


def mark_sent(collection: Collection, doc: Doc) -> None:
    """Mark a mail as sent, and delete what only the mail needed.

    Publishes NotificationSent for a notification, unless it counts as sent already.
    """
    done: Update = {"$set": {"mailPending": False}, "$unset": _UNNEEDED[collection.name]}
    if collection is account_mails or doc["status"] == "sent":
        collection.update(doc["_id"], done)
        return
    id, user, kind = doc["_id"], doc["userId"], doc["kind"]
    publish, guard = outbox.append_event(doc, NotificationSent(notification_id=id, user_id=user, kind=kind))
    update = merge_updates(done, {"$set": {"status": "sent"}}, publish)
    notifications.update(id, update, when={"mailPending": True, **guard})


def mark_failed(collection: Collection, doc: Doc, code: int, text: str) -> None:
    """Record that a mail was given up, with the code and the text of the server."""
    failure = {"code": code, "text": text, "at": clock.timestamp()}
    status = {"status": "failed"} if doc.get("status") == "pending" else {}
    change: Update = {"$set": {"mailPending": False, "mailFailure": failure, **status}}
    collection.update(doc["_id"], merge_updates(change, {"$unset": _UNNEEDED[collection.name]}))


_UNNEEDED: dict[str, Doc] = {
    "notifications": {"receipt": True},
    "account_mails": {"address": True, "subject": True, "body": True},
}
"""Collection -> fields that a document needs until its mail is sent or given up."""


def delete_expired_account_mails() -> None:
    """Delete the expired mails about accounts, whether sent or not."""
    account_mails.delete_all({"expiresAt": {"$lt": clock.timestamp()}}, sort="expiresAt")
