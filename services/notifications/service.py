"""Notifications: what was sent to whom, by e-mail or recorded only."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from services.notifications import domain, handlers
from services.notifications.api import api
from services.notifications.messages import NotificationSent
from services.users.messages import UserCreated, UserDeleted, UserUpdated

service = Service("notifications")
service.stores(handlers.recipients, handlers.notifications)
service.publishes(EmbeddedOutbox("notifications", handlers.notifications), NotificationSent)
service.serves(api)
service.calls("users")
service.on(UserCreated, handlers.welcome)
service.on(UserUpdated, handlers.note_address)
service.on(UserDeleted, handlers.forget)
for event in domain.ORDER_EVENTS:
    service.on(event, handlers.tell)
service.sweeps(handlers.sweep_erased, every=1)
service.sweeps(handlers.sweep_mail, every=1)
