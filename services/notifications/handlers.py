"""Notifications: recorded once for each event, under an id made from the event's; mailed by a sweep."""

from chassis import clock
from chassis.errors import TransientError
from chassis.events import inbox, outbox
from chassis.events.envelope import Meta
from chassis.messages import Event
from chassis.observe.log import log
from chassis.settings import settings
from chassis.store import Collection, Doc, Duplicate, Index, merge_updates
from services.notifications import domain, mail
from services.notifications.messages import NotificationSent
from services.users.messages import UserCreated, UserDeleted, UserUpdated

recipients = Collection("recipients", Index("leftovers", partial={"leftovers": True}))
notifications = Collection(
    "notifications", Index("userId", "createdAt"), Index("toSend", "retryAt", partial={"toSend": True}), outbox.PENDING
)
_RETRY = 10.0


def welcome(event: UserCreated, meta: Meta) -> None:
    """Keep the address, and say welcome."""
    if _see(event.user_id, event.email, meta):
        _record(event.user_id, domain.WELCOME, meta)


def note_address(event: UserUpdated, meta: Meta) -> None:
    _see(event.user_id, event.email, meta)


def forget(event: UserDeleted, meta: Meta) -> None:
    """Erase a person: the address now, the notifications by the sweep."""
    _open(event.user_id)
    gone = {"$set": {"erased": True, "leftovers": True}, "$unset": {"email": True}}
    recipients.update(event.user_id, merge_updates(gone, inbox.seen(meta)), when=inbox.unseen(meta))


def tell(event: Event, meta: Meta) -> None:
    """Tell a buyer what became of the order."""
    user: str = event.user_id  # type: ignore[attr-defined]
    _open(user)
    _record(user, domain.text(event), meta)


def sweep_erased() -> None:
    """Delete the notifications of erased people, once what they have to say is published."""
    for person in recipients.find({"leftovers": True}):
        left = False
        for doc in notifications.iterate({"userId": person["_id"]}):
            left |= not notifications.delete(doc["_id"], when={"pending": 0})
        if not left:
            recipients.update(person["_id"], {"$set": {"leftovers": False}})


def sweep_mail() -> None:
    """Send what is to be sent, at least once, until the server takes it."""
    for doc in notifications.find({"toSend": True, "retryAt": {"$lt": clock.timestamp()}}, sort="retryAt"):
        person = recipients.get(doc["userId"])
        try:
            if person and not person["erased"] and "email" in person:
                mail.send(doc["_id"], person["email"], doc["subject"], doc["body"])
                _sent(doc)
            else:
                notifications.update(doc["_id"], {"$set": {"retryAt": clock.timestamp_in(_RETRY)}})
        except TransientError as error:
            log.warning("a mail waits", notificationId=doc["_id"], error=error)
            notifications.update(doc["_id"], {"$set": {"retryAt": clock.timestamp_in(_RETRY)}})


def _see(user: str, email: str, meta: Meta) -> bool:
    """Take in the address of a person; whether the person is there, and not erased."""
    _open(user)
    change = merge_updates({"$set": {"email": email}}, inbox.seen(meta))
    recipients.update(user, change, when={"erased": False, **inbox.unseen(meta)})
    person = recipients.get(user)
    return person is not None and not person["erased"]


def _open(user: str) -> None:
    try:
        recipients.insert({"_id": user, "erased": False, "leftovers": False, **inbox.empty("users")})
    except Duplicate:
        pass  # known already


def _record(user: str, text: tuple[str, str, str], meta: Meta) -> None:
    kind, subject, body = text
    mailed = bool(settings().smtp_url)
    id = meta.id.replace(":", "-")
    told = [] if mailed else [NotificationSent(notification_id=id, user_id=user, kind=kind)]
    person = recipients.get(user)
    if person and person["erased"]:
        return
    try:
        notifications.insert(
            {
                "_id": id,
                "userId": user,
                "kind": kind,
                "subject": subject,
                "body": body,
                "channel": "email" if mailed else "record",
                "status": "pending" if mailed else "sent",
                "toSend": mailed,
                "retryAt": clock.timestamp(),
                "createdAt": clock.timestamp(),
                **outbox.new_outbox(id, *told),
            }
        )
    except Duplicate:
        return
    # Erased between the look and the insert: let the sweep look once more.
    recipients.update(user, {"$set": {"leftovers": True}}, when={"erased": True})


def _sent(doc: Doc) -> None:
    says, guard = outbox.append_event(
        doc, NotificationSent(notification_id=doc["_id"], user_id=doc["userId"], kind=doc["kind"])
    )
    change = merge_updates({"$set": {"status": "sent", "toSend": False}}, says)
    notifications.update(doc["_id"], change, when={"toSend": True, **guard})
