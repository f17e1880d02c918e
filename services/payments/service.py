"""Payments: charges and refunds, through a provider."""

from chassis.events.outbox import EmbeddedOutbox
from chassis.service import Service
from services.orders.messages import OrderCancelled
from services.payments import audit, handlers
from services.payments.api import api
from services.payments.messages import (
    CancelPayment,
    Charge,
    ListPayments,
    PaymentCompleted,
    PaymentFailed,
    PaymentRefunded,
    TellPayments,
)
from services.payments.providers.test import ledger

service = Service("payments")
service.stores(handlers.payments, ledger)
service.publishes(EmbeddedOutbox("payments", handlers.payments), PaymentCompleted, PaymentFailed, PaymentRefunded)
service.serves(api)
service.calls("users")
service.answers(Charge, handlers.charge)
service.answers(CancelPayment, handlers.cancel)
service.answers(TellPayments, audit.tell)
service.answers(ListPayments, audit.list_orders)
service.on(OrderCancelled, handlers.note_cancelled)
service.sweeps(handlers.sweep_refunds, every=0.5)
service.audits("payment", audit.ids, audit.judge)
