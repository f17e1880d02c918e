"""The event of `notifications`."""

from chassis.messages import Event
from chassis.schema import Id


class NotificationSent(Event, type="notification.sent", key="notification_id"):
    notification_id: Id
    user_id: Id
    kind: str
