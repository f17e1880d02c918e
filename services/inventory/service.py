"""Inventory: stock, and reservations that expire."""

from chassis.events.outbox import EmbeddedOutbox, LatestStateOutbox
from chassis.service import Service
from services.inventory import application, domain, handlers, invariants, jobs, messages, repository
from services.inventory.api import api
from services.orders.messages import OrderCancelled
from services.products.messages import ProductCreated, ProductDeleted
from services.users.messages import GetAccess, SessionsRevoked, UserDeleted

service = Service("inventory")
service.traces("orderId")
service.stores(repository.stock, repository.reservations, repository.movements)
service.publishes(LatestStateOutbox("inventory", repository.stock, domain.stock_changed), messages.StockChanged)
service.publishes(
    EmbeddedOutbox("inventory", repository.reservations),
    messages.StockReserved,
    messages.StockReleased,
    messages.StockConfirmed,
    messages.StockReturned,
)
service.serves(api)
service.verifies("users", access=GetAccess)
service.revokes(UserDeleted, SessionsRevoked)
service.answers(messages.StockProduct, application.stock_product)
service.answers(messages.StockProducts, application.stock_products)
service.answers(messages.AdjustStock, application.adjust_stock)
service.answers(messages.Reserve, application.reserve)
service.answers(messages.RenewReservation, application.renew)
service.answers(messages.ConfirmStock, application.confirm)
service.answers(messages.Release, application.release)
service.answers(messages.GetReservations, application.get_reservations)
service.answers(messages.ListReservations, application.list_reservations)
service.on(ProductCreated, handlers.on_product_created)
service.on(ProductDeleted, handlers.on_product_deleted)
service.on(OrderCancelled, handlers.on_order_cancelled)
service.schedules(jobs.return_cancelled_units, every_s=0.5)
service.schedules(jobs.finish_reservations, every_s=1)
service.schedules(jobs.drop_old_allocations, every_s=15)
service.schedules(jobs.export_overdue, every_s=5)
service.audits("product", invariants.product_ids, invariants.check_products)
service.audits("reservation", invariants.reservation_ids, invariants.check_reservations)
