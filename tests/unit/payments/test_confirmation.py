"""Payments that the buyer has to confirm at the bank, with the test provider and with Stripe."""

import pytest

from chassis import clock, failure_limits
from services.payments import application, invariants, repository
from services.payments.domain import CANCELLED
from services.payments.messages import CancelPayment, Charge, PaymentCancelled, PaymentDeclined
from services.payments.providers import by_name, stripe_http
from services.payments.providers import stripe as stripe_module
from services.payments.providers.stripe_records import events, intents
from services.payments.providers.test import ledger
from services.payments.settings import PaymentsSettings
from tests.fake_stripe import FakeStripe


class TestBank:
    """The bank of the test provider."""

    token = "tok_action"

    def authenticate(self, order, succeeds=True):
        by_name("test").answer(order, succeeds)

    def charged(self, order):
        return (ledger.get(order) or {"captured": 0})["captured"]

    def refunded(self, order):
        return (ledger.get(order) or {"refunded": 0})["refunded"]


@pytest.fixture(params=["test", "stripe"])
def bank(request, store, fake_clock, monkeypatch):
    for collection in (repository.payments, ledger, intents, events, failure_limits.failures):
        collection.attach(store).ensure_indexes()
    with FakeStripe() as fake:
        fake.token = "pm_action"
        chosen = PaymentsSettings(
            payment_provider=request.param,
            stripe_api_key="sk_test_1",
            stripe_api_base=fake.url,
            public_url="https://shop.example/",
        )
        for module in (stripe_module, stripe_http, application):
            monkeypatch.setattr(module, "settings", lambda: chosen)
        by_name.cache_clear()
        yield fake if request.param == "stripe" else TestBank()
    by_name.cache_clear()


def charge(bank, order="o1", may_wait=True):
    command = Charge(
        order_id=order, user_id="u1", total=3000, currency="EUR", payment_token=bank.token, may_wait=may_wait
    )
    return application.charge(command)


def status(order="o1"):
    return repository.get(order)["status"]


def test_buyer_who_comes_back_without_paying_has_not_paid(bank, fake_clock):
    first = charge(bank).action
    assert (first.type, first.until) == ("redirect", clock.timestamp_in(600))
    fake_clock.pass_time(60)
    assert charge(bank).action == first, "the buyer gets no more time"
    application.reconcile(repository.get("o1"))
    assert (status(), bank.charged("o1")) == ("pending", 0)


def test_bank_sends_the_buyer_back_to_the_order(bank):
    url = charge(bank).action.url
    if isinstance(bank, FakeStripe):
        (intent,) = bank.of("o1")
        assert intent["next_action"]["redirect_to_url"]["return_url"] == "https://shop.example/shop/orders/o1"
    else:
        assert url.endswith("/api/payments/bank/o1")


@pytest.mark.parametrize(
    "decide", [charge, lambda bank: application.reconcile(repository.get("o1"))], ids=["resume", "webhook"]
)
def test_payment_that_the_buyer_confirms_is_captured_once(bank, decide):
    charge(bank)
    bank.authenticate("o1")
    for _ in range(2):
        decide(bank)
        assert charge(bank).action is None
    assert (status(), bank.charged("o1")) == ("completed", 3000)


def test_payment_that_the_buyer_refuses_is_declined_by_a_webhook(bank):
    charge(bank)
    bank.authenticate("o1", succeeds=False)
    application.reconcile(repository.get("o1"))
    assert status() == "failed"
    with pytest.raises(PaymentDeclined):
        charge(bank)
    bank.authenticate("o1")
    assert bank.charged("o1") == 0


@pytest.mark.parametrize("may_wait", [True, False], ids=["late", "of a release that cannot wait"])
def test_payment_that_cannot_wait_is_canceled_and_declined(bank, fake_clock, may_wait):
    charge(bank)
    if may_wait:
        fake_clock.pass_time(601)
    with pytest.raises(PaymentDeclined, match="did not confirm it"):
        charge(bank, may_wait=may_wait)
    bank.authenticate("o1")
    application.reconcile(repository.get("o1"))
    assert (status(), bank.charged("o1")) == ("failed", 0)


def test_confirmation_just_before_the_end_counts(bank, fake_clock):
    charge(bank)
    bank.authenticate("o1")
    fake_clock.pass_time(601)
    assert charge(bank).action is None and status() == "completed"


def test_cancel_while_the_buyer_is_at_the_bank_leaves_nothing_to_confirm(bank):
    charge(bank)
    application.cancel(CancelPayment(order_id="o1", user_id="u1", total=3000, currency="EUR"))
    bank.authenticate("o1")
    application.reconcile(repository.get("o1"))
    assert (status(), repository.get("o1")["reason"], bank.charged("o1")) == ("failed", CANCELLED, 0)
    with pytest.raises(PaymentCancelled):
        charge(bank)


def test_payment_is_not_late_while_its_buyer_has_time(bank, fake_clock):
    def findings():
        return [finding.detail for finding in invariants.check_payment(repository.get("o1"), 0, 0)]

    charge(bank)
    fake_clock.pass_time(655)
    assert findings() == []
    fake_clock.pass_time(10)
    assert findings() == [f"is pending since {repository.get('o1')['createdAt']}"]
