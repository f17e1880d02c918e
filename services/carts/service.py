"""Carts of guests and users: what they want to order, which reserves nothing."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.personal_data import PersonalData
from chassis.service import Service
from services.carts import application, handlers, jobs, repository
from services.carts.api import api
from services.carts.messages import CartAbandoned, CartMerged, ExportUser, GetCart
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderPlaced, OrderRejected
from services.users.messages import GetAccess, SessionsRevoked, UserDeleted

service = Service("carts")
service.traces("orderId")
service.stores(repository.carts)
service.publishes(EmbeddedOutbox("carts", repository.carts), CartMerged, CartAbandoned)
service.serves(api)
service.verifies("users", access=GetAccess)
service.revokes(UserDeleted, SessionsRevoked)
service.calls("products")
service.answers(GetCart, application.get_cart)
service.on(OrderPlaced, handlers.on_order_placed)
service.on(OrderConfirmed, handlers.on_order_confirmed)
service.on(OrderRejected, handlers.on_order_not_confirmed)
service.on(OrderCancelled, handlers.on_order_not_confirmed)
service.on(UserDeleted, handlers.on_user_deleted)
service.exports(
    PersonalData(repository.carts, "_id", *"items createdAt updatedAt expiresAt".split()),
    query=ExportUser,
)
service.schedules(jobs.publish_abandoned, every_s=5)
service.schedules(repository.delete_expired, every_s=60)
