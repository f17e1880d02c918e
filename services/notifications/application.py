"""Use cases: notify a user, and mail a person about their account."""

from chassis import clock
from chassis.events import outbox
from chassis.events.envelope import Meta
from services.notifications import domain, mail, repository
from services.notifications.messages import MailOff, NotificationSent, SendAccountMail

WARNING_LIFE_S = 7 * 24 * 3600.0
"""Time in which a warning is tried."""


def notify(user: str, text: domain.Text, meta: Meta) -> None:
    """Record the notification of a user about an event, once however often the event is delivered.

    A job mails it, or writes the mail to a file; an erased user gets none.
    """
    by_mail = mail.by_smtp()
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
        "mailPending": mail.is_on(),
        "retryAt": clock.timestamp(),
        "createdAt": clock.timestamp(),
        **outbox.new_outbox(id, *events),
    }
    repository.recipients.insert_about(user, repository.notifications, notification)


def send_account_mail(command: SendAccountMail) -> None:
    """Record a mail about an account, once however often the command is repeated; a job sends it. Raises MailOff."""
    if not mail.is_on():
        raise MailOff
    text = domain.account_text(command.kind, command.link)
    _record(command.mail_id, command.user_id, command.address, text, command.expires_at)


def warn_of_reuse(user: str, meta: Meta) -> None:
    """Mail the owner of a session that somebody else may have used, once however often the event is delivered."""
    recipient = repository.recipients.get(user)
    if mail.is_on() and recipient and "email" in recipient:
        until = clock.timestamp_in(WARNING_LIFE_S)
        _record(meta.id.replace(":", "-"), user, recipient["email"], domain.SESSION_ENDED, until)


def _record(id: str, user: str, address: str, text: tuple[str, str], expires_at: str) -> None:
    account_mail = {
        "_id": id,
        "userId": user,
        "address": address,
        "subject": text[0],
        "body": text[1],
        "mailPending": True,
        "retryAt": clock.timestamp(),
        "expiresAt": expires_at,
    }
    repository.recipients.insert_about(user, repository.account_mails, account_mail)
