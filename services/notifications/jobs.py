"""A background job: deletes what is kept about erased users."""

from services.notifications import mail_files, repository


def finish_erasures() -> None:
    """Delete the notifications and mails of erased users, each notification as soon as its events are published."""
    repository.recipients.finish_erasures(_delete_about)


def _delete_about(user: str) -> bool:
    mail_files.delete_of(user)
    repository.account_mails.delete_all({"userId": user})
    repository.placed_orders.delete_all({"userId": user})
    notifications = repository.notifications.iterate({"userId": user})
    return all([repository.notifications.delete(each["_id"], when={"pending": 0}) for each in notifications])
