"""Notifications: what users are notified of, by e-mail or in the shop."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from services.notifications import domain, handlers, jobs, repository
from services.notifications.api import api
from services.notifications.messages import NotificationSent
from services.users.messages import UserCreated, UserDeleted, UserUpdated

service = Service("notifications")
service.stores(repository.recipients, repository.notifications)
service.publishes(EmbeddedOutbox("notifications", repository.notifications), NotificationSent)
service.serves(api)
service.verifies("users")
service.on(UserCreated, handlers.on_user_created)
service.on(UserUpdated, handlers.on_user_updated)
service.on(UserDeleted, handlers.on_user_deleted)
for event in domain.ORDER_EVENTS:
    service.on(event, handlers.on_order_event)
service.schedules(jobs.finish_erasures, every_s=1)
service.schedules(jobs.send_mail, every_s=1)
