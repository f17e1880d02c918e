"""Use cases: notify a user, and mail a person about their account."""

import hmac

from chassis import clock
from chassis.errors import InvalidInput
from chassis.events import outbox
from chassis.events.envelope import Meta
from chassis.store import Doc
from services.notifications import domain, mail, repository, texts
from services.notifications.messages import MailOff, NotificationSent, SendAccountMail


def notify(user: str, kind: str, meta: Meta, receipt: Doc | None = None, **values: str) -> None:
    """Record the notification of a user about an event, once however often the event is delivered.

    A job mails it, or writes the mail to a file; an erased user gets none. The mail lists the lines of `receipt`.
    """
    by_mail = mail.by_smtp()
    id = meta.id.replace(":", "-")
    is_mailed, text = mail.is_on(), texts.text(kind, repository.language_of(user), **values)
    events = [] if by_mail else [NotificationSent(notification_id=id, user_id=user, kind=kind)]
    notification = {
        "_id": id,
        "userId": user,
        "kind": kind,
        "subject": text.subject,
        "body": text.body,
        "language": text.language,
        "channel": "email" if by_mail else "record",
        "status": "pending" if by_mail else "sent",
        **_pending_mail(is_mailed),
        **({"receipt": receipt} if receipt and is_mailed else {}),
        **({"unsubscribeSecret": clock.new_secret()} if kind in domain.ADVERTISING else {}),
        **outbox.new_outbox(id, *events),
    }
    repository.recipients.insert_about(user, repository.notifications, notification)


def send_account_mail(command: SendAccountMail) -> None:
    """Record a mail about an account, once however often the command is repeated; a job sends it. Raises MailOff."""
    if not mail.is_on():
        raise MailOff
    text = texts.text(command.kind, command.language, link=command.link)
    account_mail = {
        "_id": command.mail_id,
        "userId": command.user_id,
        "address": command.address,
        "subject": text.subject,
        "body": text.body,
        "language": text.language,
        **_pending_mail(True),
        "expiresAt": command.expires_at,
    }
    repository.recipients.insert_about(command.user_id, repository.account_mails, account_mail)


def unsubscribe(token: str) -> None:
    """End the mails that advertise for the recipient of the mail with this token; may be repeated. Raises InvalidInput.

    A job reports it to `users`, which stores what a user agreed to.
    """
    id, _, secret = token.partition(".")
    notification = repository.notifications.get(id)
    wanted = notification.get("unsubscribeSecret", "") if notification else ""
    if notification is None or not wanted or not hmac.compare_digest(wanted.encode(), secret.encode()):
        raise InvalidInput(("token", "is not that of a mail that advertises"))
    repository.notifications.update(id, {"$set": {"unsubscribePending": True}})
    repository.recipients.update(notification["userId"], {"$set": {"marketing": False}}, when={"erased": False})


def _pending_mail(is_pending: bool) -> Doc:
    now = clock.timestamp()
    return {"mailPending": is_pending, "retryAt": now, "createdAt": now, "mailAttempts": 0, "unknownOutcomes": 0}
