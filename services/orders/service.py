"""Orders: event-sourced, with the checkout saga."""

from chassis.events.eventsourcing import StreamOutbox
from chassis.service import Service
from services.inventory.messages import StockReturned
from services.orders import audit, domain, handlers, views
from services.orders.api import api
from services.orders.checkout import driver
from services.payments.messages import PaymentRefunded

service = Service("orders")
service.stores(views.streams, views.summaries)
service.publishes(StreamOutbox("orders", views.streams), *domain.EVENTS)
service.serves(api)
service.calls("users", "products", "inventory", "payments")
service.runs(driver)
service.replays(views.replay)
service.on(PaymentRefunded, handlers.note_refund)
service.on(StockReturned, handlers.note_restock)
for event in domain.EVENTS:
    service.on(event, handlers.show)
service.audits("order", audit.ids, audit.judge)
