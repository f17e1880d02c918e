"""Inventory: stock, and reservations of it that expire."""

from chassis.events.outbox import EmbeddedOutbox, LatestStateOutbox
from chassis.service import Service
from services.inventory import audit, handlers
from services.inventory.api import api
from services.inventory.messages import (
    AdjustStock,
    ConfirmStock,
    ListReservations,
    Release,
    RenewReservation,
    Reserve,
    StockChanged,
    StockConfirmed,
    StockProduct,
    StockReleased,
    StockReserved,
    StockReturned,
    TellReservations,
)
from services.orders.messages import OrderCancelled
from services.products.messages import ProductCreated, ProductDeleted

service = Service("inventory")
service.stores(handlers.stock, handlers.reservations)
service.publishes(LatestStateOutbox("inventory", handlers.stock, handlers.changed), StockChanged)
service.publishes(
    EmbeddedOutbox("inventory", handlers.reservations), StockReserved, StockReleased, StockConfirmed, StockReturned
)
service.serves(api)
service.calls("users")
service.answers(StockProduct, handlers.stock_product)
service.answers(AdjustStock, handlers.adjust)
service.answers(Reserve, handlers.reserve)
service.answers(RenewReservation, handlers.renew)
service.answers(ConfirmStock, handlers.confirm)
service.answers(Release, handlers.release)
service.answers(TellReservations, audit.tell_reservations)
service.answers(ListReservations, audit.list_reservations)
service.on(ProductCreated, handlers.note_product)
service.on(ProductDeleted, handlers.close_product)
service.on(OrderCancelled, handlers.note_cancelled)
service.sweeps(handlers.sweep_cancelled, every=0.5)
service.sweeps(handlers.sweep_reservations, every=1)
service.sweeps(handlers.sweep_marks, every=15)
service.sweeps(handlers.tell_overdue, every=5)
service.audits("product", audit.products, audit.judge_products)
service.audits("reservation", audit.reservations, audit.judge_reservations)
