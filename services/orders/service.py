"""Orders: event-sourced orders, and the checkout saga that confirms or rejects them."""

from chassis.events.eventsourcing import StreamOutbox
from chassis.personal_data import PersonalData
from chassis.service import Service
from services.inventory.messages import StockReturned
from services.orders import checkout, domain, handlers, invariants, projection, quotas, repository
from services.orders.api import api
from services.orders.messages import ExportUser
from services.payments.messages import PaymentCompleted, PaymentFailed, PaymentRefunded
from services.users.messages import GetAccess, SessionsRevoked, UserDeleted

service = Service("orders")
service.traces("orderId")
service.stores(repository.streams, projection.summaries, quotas.quotas)
service.publishes(StreamOutbox("orders", repository.streams), *domain.EVENTS)
service.serves(api)
service.verifies("users", access=GetAccess)
service.revokes(UserDeleted, SessionsRevoked)
service.calls("users", "products", "carts", "inventory", "payments")
service.runs(checkout.driver)
service.replays(projection.rebuild)
service.schedules(quotas.delete_ended, every_s=60)
service.on(PaymentCompleted, handlers.on_payment_decided)
service.on(PaymentFailed, handlers.on_payment_decided)
service.on(PaymentRefunded, handlers.on_payment_refunded)
service.on(StockReturned, handlers.on_stock_returned)
for event in domain.EVENTS:
    service.on(event, handlers.on_order_event)
service.exports(
    PersonalData(
        projection.summaries,
        "userId",
        *"items totalAmount currency status reason paymentId".split(),
        *"cancelRequested refunded restocked createdAt updatedAt".split(),
    ),
    query=ExportUser,
)
service.audits("order", invariants.order_ids, invariants.check_orders)
