"""Payments: charges and refunds, through a provider."""

from chassis import failure_limits
from chassis.events.outbox import EmbeddedOutbox
from chassis.personal_data import PersonalData
from chassis.service import Service
from services.orders.messages import OrderCancelled
from services.payments import application, handlers, invariants, jobs, messages, repository, webhooks
from services.payments.api import api
from services.payments.bank import bank_api
from services.payments.providers.stripe_records import events, intents
from services.payments.providers.test import ledger
from services.users.messages import GetAccess, SessionsRevoked, UserDeleted

service = Service("payments")
service.traces("orderId")
service.stores(repository.payments, ledger, intents, events, failure_limits.failures)
service.publishes(
    EmbeddedOutbox("payments", repository.payments),
    messages.PaymentCompleted,
    messages.PaymentFailed,
    messages.PaymentRefunded,
)
service.serves(api)
service.serves(bank_api)
service.verifies("users", access=GetAccess)
service.revokes(UserDeleted, SessionsRevoked)
service.answers(messages.Charge, application.charge)
service.answers(messages.CancelPayment, application.cancel)
service.answers(messages.GetPayments, application.get_payments)
service.answers(messages.ListPayments, application.list_payments)
service.on(OrderCancelled, handlers.on_order_cancelled)
service.schedules(jobs.refund_cancelled_orders, every_s=0.5)
service.schedules(webhooks.process, every_s=1)
service.schedules(webhooks.delete_old, every_s=600)
service.schedules(failure_limits.delete_forgotten, every_s=60)
service.exports(
    PersonalData(
        repository.payments,
        "userId",
        *"orderId amount currency status refundedAmount provider reason createdAt updatedAt".split(),
    ),
    query=messages.ExportUser,
)
service.audits("payment", invariants.payment_ids, invariants.check_payments)
