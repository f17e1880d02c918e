"""Background jobs: delete the data of erased users, and report to `users` who unsubscribed."""

from chassis import calls
from chassis.events.set_aside import SetAside
from chassis.store import Doc
from services.notifications import mail_files, repository
from services.users.messages import StopAdvertising

_unsubscribed = SetAside("report_unsubscribed")


def finish_erasures() -> None:
    """Delete the notifications and mails of erased users, each notification as soon as its events are published."""
    repository.recipients.finish_erasures(_delete_about)


def report_unsubscribed() -> None:
    """Report each user who unsubscribed to `users`, until it accepts the report."""
    _unsubscribed.work_through(repository.notifications, {"unsubscribePending": True}, _report)


def _report(notification: Doc) -> None:
    calls.send(StopAdvertising(user_id=notification["userId"]), key=f"{notification['_id']}:unsubscribe")
    repository.notifications.update(notification["_id"], {"$unset": {"unsubscribePending": True}})


def _delete_about(user: str) -> bool:
    mail_files.delete_of(user)
    repository.account_mails.delete_all({"userId": user})
    repository.placed_orders.delete_all({"userId": user})
    notifications = repository.notifications.iterate({"userId": user})
    return all([repository.notifications.delete(each["_id"], when={"pending": 0}) for each in notifications])
