"""Background jobs: send mail, and delete the notifications of erased users."""

from chassis import clock
from chassis.errors import TransientError
from chassis.events.set_aside import SetAside
from chassis.observe.log import log
from chassis.store import Collection, Doc
from services.notifications import mail, repository

RETRY_AFTER_S = 10.0

_mails = SetAside("send_mail")


def finish_erasures() -> None:
    """Delete the notifications and mails of erased users, each notification as soon as its events are published."""
    repository.recipients.finish_erasures(_delete_about)


def send_mail() -> None:
    """Send every pending mail, at least once: repeat it until the mail server accepts it."""
    due = {"mailPending": True, "retryAt": {"$lt": clock.timestamp()}}
    _mails.work_through(repository.account_mails, due, _send_account_mail, sort="retryAt")
    _mails.work_through(repository.notifications, due, _send_notification, sort="retryAt")
    mail.delete_old_files()


def _send_account_mail(account_mail: Doc) -> None:
    address, subject, body = account_mail["address"], account_mail["subject"], account_mail["body"]
    if _send(repository.account_mails, account_mail, address, subject, body):
        repository.mark_account_mail_sent(account_mail)


def _send_notification(notification: Doc) -> None:
    recipient = repository.recipients.get(notification["userId"])
    if not recipient or recipient["erased"] or "email" not in recipient:
        _retry_later(repository.notifications, notification)  # `user.created` may arrive after the event of an order
        return
    email, subject, body = recipient["email"], notification["subject"], notification["body"]
    if _send(repository.notifications, notification, email, subject, body):
        repository.mark_sent(notification)


def _send(collection: Collection, doc: Doc, address: str, subject: str, body: str) -> bool:
    """Send a mail. If that fails, schedule a retry and return False."""
    try:
        mail.send(doc["_id"], doc["userId"], address, subject, body)
        return True
    except TransientError as error:
        log.warning("mail not sent; retrying", notificationId=doc["_id"], error=error)
        _retry_later(collection, doc)
        return False


def _retry_later(collection: Collection, doc: Doc) -> None:
    collection.update(doc["_id"], {"$set": {"retryAt": clock.timestamp_in(RETRY_AFTER_S)}})


def _delete_about(user: str) -> bool:
    mail.delete_files(user)
    repository.account_mails.delete_all({"userId": user})
    notifications = repository.notifications.iterate({"userId": user})
    return all([repository.notifications.delete(each["_id"], when={"pending": 0}) for each in notifications])
