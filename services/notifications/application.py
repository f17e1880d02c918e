"""Use cases: notify a user, and mail a person about their account."""

from chassis import clock
from chassis.events import outbox
from chassis.events.envelope import Meta
from services.notifications import domain, mail, repository
from services.notifications.messages import MailOff, NotificationSent, SendAccountMail


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
    subject, body = domain.account_text(command.kind, command.link)
    account_mail = {
        "_id": command.mail_id,
        "userId": command.user_id,
        "address": command.address,
        "subject": subject,
        "body": body,
        "mailPending": True,
        "retryAt": clock.timestamp(),
        "expiresAt": command.expires_at,
    }
    repository.recipients.insert_about(command.user_id, repository.account_mails, account_mail)
