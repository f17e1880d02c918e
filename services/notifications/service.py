"""Notifications: what users are notified of, by e-mail or in the shop."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.personal_data import PersonalData
from chassis.service import Service
from services.carts.messages import CartAbandoned
from services.notifications import application, delivery, domain, handlers, jobs, repository
from services.notifications.api import api
from services.notifications.messages import ExportUser, NotificationSent, SendAccountMail
from services.orders.messages import OrderPlaced
from services.users.messages import GetAccess, SessionsRevoked, UserCreated, UserDeleted, UserUpdated

service = Service("notifications")
service.traces("orderId")
service.stores(repository.recipients, repository.notifications, repository.account_mails, repository.placed_orders)
service.publishes(EmbeddedOutbox("notifications", repository.notifications), NotificationSent)
service.serves(api)
service.verifies("users", access=GetAccess)
service.revokes(UserDeleted, SessionsRevoked)
service.on(UserCreated, handlers.on_user_created)
service.on(UserUpdated, handlers.on_user_updated)
service.on(UserDeleted, handlers.on_user_deleted)
service.on(SessionsRevoked, handlers.on_sessions_revoked)
service.on(OrderPlaced, handlers.on_order_placed)
service.on(CartAbandoned, handlers.on_cart_abandoned)
for event in domain.ORDER_EVENTS:
    service.on(event, handlers.on_order_event)
service.answers(SendAccountMail, application.send_account_mail)
service.exports(
    PersonalData(repository.recipients, "_id", "email", "language", "marketing", "bounce"),
    PersonalData(repository.placed_orders, "userId", "lines", "total", "currency"),
    PersonalData(
        repository.notifications, "userId", *"kind subject body language channel status mailFailure createdAt".split()
    ),
    query=ExportUser,
)
service.schedules(jobs.finish_erasures, every_s=1)
service.schedules(jobs.report_unsubscribed, every_s=1)
service.schedules(delivery.send_mail, every_s=1)
service.schedules(repository.delete_expired_account_mails, every_s=60)
