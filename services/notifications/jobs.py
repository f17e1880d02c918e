"""Background jobs: send mail, and delete the notifications of erased users."""

from chassis import clock
from chassis.errors import TransientError
from chassis.observe.log import log
from chassis.store import Doc
from services.notifications import mail, repository

RETRY_AFTER_S = 10.0


def finish_erasures() -> None:
    """Delete the notifications of erased users, each as soon as its events are published."""
    repository.recipients.finish_erasures(_delete_notifications)


def send_mail() -> None:
    """Send every pending mail, at least once: repeat it until the mail server accepts it."""
    due = {"mailPending": True, "retryAt": {"$lt": clock.timestamp()}}
    for notification in repository.notifications.find(due, sort="retryAt"):
        recipient = repository.recipients.get(notification["userId"])
        if not recipient or recipient["erased"] or "email" not in recipient:
            _retry_later(notification)  # `user.created` may arrive after the event of an order
            continue
        try:
            mail.send(notification["_id"], recipient["email"], notification["subject"], notification["body"])
            repository.mark_sent(notification)
        except TransientError as error:
            log.warning("mail not sent; retrying", notificationId=notification["_id"], error=error)
            _retry_later(notification)


def _retry_later(notification: Doc) -> None:
    retry = {"$set": {"retryAt": clock.timestamp_in(RETRY_AFTER_S)}}
    repository.notifications.update(notification["_id"], retry)


def _delete_notifications(user: str) -> bool:
    notifications = repository.notifications.iterate({"userId": user})
    return all([repository.notifications.delete(each["_id"], when={"pending": 0}) for each in notifications])
