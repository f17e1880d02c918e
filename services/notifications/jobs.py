"""Background jobs: send mail, and delete the notifications of erased users."""

from chassis import clock
from chassis.errors import TransientError
from chassis.observe.log import log
from services.notifications import mail, repository

RETRY_AFTER_S = 10.0


def finish_erasures() -> None:
    """Delete the notifications of erased people, once what they have to say is published."""
    for person in repository.recipients.find({"erasurePending": True}):
        left = False
        for doc in repository.notifications.iterate({"userId": person["_id"]}):
            left |= not repository.notifications.delete(doc["_id"], when={"pending": 0})
        if not left:
            repository.recipients.update(person["_id"], {"$set": {"erasurePending": False}})


def send_mail() -> None:
    """Send what is to be sent, at least once, until the server takes it."""
    for doc in repository.notifications.find({"mailPending": True, "retryAt": {"$lt": clock.timestamp()}}, sort="retryAt"):
        person = repository.recipients.get(doc["userId"])
        try:
            if person and not person["erased"] and "email" in person:
                mail.send(doc["_id"], person["email"], doc["subject"], doc["body"])
                repository.mark_sent(doc)
            else:
                repository.notifications.update(doc["_id"], {"$set": {"retryAt": clock.timestamp_in(RETRY_AFTER_S)}})
        except TransientError as error:
            log.warning("a mail waits", notificationId=doc["_id"], error=error)
            repository.notifications.update(doc["_id"], {"$set": {"retryAt": clock.timestamp_in(RETRY_AFTER_S)}})
