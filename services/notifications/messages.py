"""What `notifications` says."""

from chassis.events.messages import Event
from chassis.wire import Id


class NotificationSent(Event, type="notification.sent", key="notification_id"):
    notification_id: Id
    user_id: Id
    kind: str
