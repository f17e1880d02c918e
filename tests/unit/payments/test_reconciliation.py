"""Reconciliation finds what only the provider or only the platform has, and nothing where both agree."""

import pytest

from chassis import failure_limits
from chassis.audit import AuditRun
from services.payments import application, reconciliation, repository
from services.payments.messages import CancelPayment, Charge
from services.payments.providers import by_name, stripe_http
from services.payments.providers import stripe as stripe_module
from services.payments.providers.stripe_records import intents
from services.payments.settings import PaymentsSettings
from tests.fake_stripe import FakeStripe

DAY_S = 24 * 3600.0


@pytest.fixture
def stripe(store, fake_clock, monkeypatch):
    for collection in (repository.payments, intents, failure_limits.failures):
        collection.attach(store).ensure_indexes()
    with FakeStripe() as fake:
        chosen = PaymentsSettings(payment_provider="stripe", stripe_api_key="sk_test_1", stripe_api_base=fake.url)
        for module in (stripe_module, stripe_http, application, reconciliation):
            monkeypatch.setattr(module, "settings", lambda: chosen)
        by_name.cache_clear()
        yield fake
    by_name.cache_clear()


def charge(order):
    application.charge(Charge(order_id=order, user_id="u1", total=3000, currency="EUR", payment_token="pm_ok"))


def findings():
    return {(found.id, found.detail) for found in AuditRun(reconciliation.over(DAY_S)).results()}


def test_nothing_is_found_where_both_agree(stripe):
    for number in range(5):  # more than one page
        charge(f"o{number}")
    application.cancel(CancelPayment(order_id="o0", user_id="u1", total=3000, currency="EUR"))
    application.cancel(CancelPayment(order_id="o9", user_id="u1", total=3000, currency="EUR"))
    assert findings() == set()


def test_a_charge_that_is_not_recorded_is_found(stripe):
    charge("o1")
    charge("o2")
    repository.payments.delete("o1")
    assert findings() == {("o1", "the provider holds 3000 (pi_1), but no payment is recorded")}


def test_a_recorded_payment_that_the_provider_does_not_hold_is_found(stripe):
    charge("o1")
    charge("o2")
    stripe.intents["pi_1"].update(status="canceled", amount_received=0, latest_charge=None)
    assert findings() == {("o1", "is recorded with 3000, but the provider holds 0")}


def test_a_second_charge_of_an_order_is_found(stripe):
    charge("o1")
    stripe.intents["pi_9"] = {**stripe.intents["pi_1"], "id": "pi_9"}
    assert findings() == {("o1", "the provider holds 3000 a second time (pi_9)")}


def test_a_partial_refund_at_the_provider_and_a_refund_that_failed_are_found(stripe):
    charge("o1")
    stripe.refund_by_hand("o1", 1000)
    charge("o2")
    application.cancel(CancelPayment(order_id="o2", user_id="u1", total=3000, currency="EUR"))
    stripe.refund_by_hand("o2", -3000)
    by_hand = ("o1", "1000 was refunded at the provider, but its order is paid")
    failed = ("o2", "is recorded with 0, but the provider holds 3000")
    assert findings() == {by_hand, failed, ("o1", "is recorded with 3000, but the provider holds 2000")}
    application.reconcile(repository.payments.get("o1"))
    assert repository.payments.get("o1")["refundedAmount"] == 1000
    assert findings() == {by_hand, failed}


def test_another_amount_or_currency_is_found(stripe):
    charge("o1")
    stripe.intents["pi_1"].update(amount_received=2000, currency="usd")
    assert ("o1", "captured in USD instead of EUR") in findings()
    assert ("o1", "captured 2000 of 3000") in findings()


def test_charges_before_the_window_are_left_out(stripe, fake_clock):
    charge("o1")
    stripe.intents["pi_1"].update(status="canceled", amount_received=0, latest_charge=None)
    fake_clock.pass_time(2 * DAY_S)
    assert findings() == set()
