"""The contract of payment providers, on the test provider and on Stripe, against a Stripe that keeps state."""

import pytest

from chassis import deadline
from chassis.errors import OutcomeUnknown, TransientError
from services.payments.messages import PaymentDeclined
from services.payments.providers import Capture, stripe_http
from services.payments.providers import stripe as stripe_module
from services.payments.providers.stripe import StripeProvider
from services.payments.providers.stripe_records import intents
from services.payments.providers.test import TestProvider, ledger
from services.payments.settings import PaymentsSettings
from tests.fake_stripe import FakeStripe
from tests.unit.conftest import crashes

TOKENS = {
    "test": {"ok": "tok_ok", "declined": "tok_declined", "poor": "tok_insufficient_funds", "unknown": "tok_nobody"},
    "stripe": {"ok": "pm_ok", "declined": "pm_declined", "poor": "pm_insufficient_funds", "unknown": "pm_nobody"},
}


@pytest.fixture
def stripe(store, monkeypatch):
    """A fake Stripe whose provider is made anew, so that no breaker is open from before."""
    intents.attach(store).ensure_indexes()
    with FakeStripe() as fake:
        chosen = PaymentsSettings(
            payment_provider="stripe", stripe_api_key="sk_test_1", stripe_api_base=fake.url, threads=8
        )
        for module in (stripe_module, stripe_http):
            monkeypatch.setattr(module, "settings", lambda: chosen)
        yield fake


@pytest.fixture(params=["test", "stripe"])
def provider(request, store, fake_clock):
    ledger.attach(store).ensure_indexes()
    if request.param == "stripe":
        request.getfixturevalue("stripe")
        return StripeProvider()
    return TestProvider()


@pytest.fixture
def charge(provider):
    def _charge(key, token="ok", amount=3000, currency="EUR"):
        with deadline.within(4):
            provider.charge(key, amount, currency, TOKENS[provider.name][token])

    return _charge


def test_a_repeated_charge_captures_once_and_is_found(provider, charge):
    assert provider.find("o1") is None
    for _ in range(3):
        charge("o1")
    assert provider.find("o1") == Capture(3000, 0)


@pytest.mark.parametrize("token", ["declined", "poor", "unknown"])
def test_a_declined_charge_captures_nothing_and_says_why(provider, charge, token):
    for _ in range(2):
        with pytest.raises(PaymentDeclined) as declined:
            charge("o1", token)
    assert provider.find("o1") is None
    assert ("insufficient funds" in str(declined.value)) == (token == "poor")


def test_cancel_before_the_charge_blocks_it(provider, charge):
    for _ in range(2):
        assert provider.cancel("o1") == Capture(0, 0)
    with pytest.raises(PaymentDeclined):
        charge("o1")
    assert provider.find("o1") is None
    assert provider.refund("o1") == Capture(0, 0)


def test_cancel_after_the_charge_refunds_all_of_it_once(provider, charge):
    charge("o1")
    for _ in range(2):
        assert provider.cancel("o1") == Capture(3000, 3000)
    assert provider.find("o1") == Capture(3000, 3000)


def test_refund_returns_all_of_it_once(provider, charge):
    charge("o1")
    for _ in range(3):
        assert provider.refund("o1") == Capture(3000, 3000)


def test_an_unknown_payment_has_no_capture_and_nothing_to_refund(provider):
    assert (provider.find("o9"), provider.refund("o9")) == (None, Capture(0, 0))


def test_a_charge_interrupted_at_any_write_is_completed_by_a_repetition(provider, charge, store):
    for order in crashes(store, charge):
        charge(order)
        assert provider.find(order) == Capture(3000, 0)


@pytest.mark.parametrize(("amount", "currency"), [(500, "JPY"), (12340, "KWD"), (700, "ISK"), (12300, "MGA")])
def test_amounts_of_currencies_without_two_decimal_places_are_exact(provider, charge, amount, currency):
    charge("o1", amount=amount, currency=currency)
    assert provider.find("o1") == Capture(amount, 0)
    assert provider.refund("o1") == Capture(amount, amount)


@pytest.mark.parametrize(("amount", "currency"), [(12345, "KWD"), (12345, "MGA")])
def test_an_amount_that_stripe_cannot_charge_exactly_is_declined(stripe, fake_clock, amount, currency):
    with pytest.raises(PaymentDeclined, match="exactly"):
        StripeProvider().charge("o1", amount, currency, "pm_ok")
    assert stripe.requests == []


@pytest.mark.parametrize("fault", ["refuse", "lose", "fail"])
@pytest.mark.parametrize("work", ["charge", "cancel", "refund"])
def test_work_that_fails_at_any_request_to_stripe_is_completed_by_a_repetition(stripe, fake_clock, work, fault):
    """For each request that the work makes: it fails, before or after Stripe has done it."""
    position = 0
    while True:
        order, provider = f"o{position}", StripeProvider()
        if work != "charge":
            provider.charge(order, 3000, "EUR", "pm_ok")
        act = {
            "charge": lambda order=order, provider=provider: provider.charge(order, 3000, "EUR", "pm_ok"),
            "cancel": lambda order=order, provider=provider: provider.cancel(order),
            "refund": lambda order=order, provider=provider: provider.refund(order),
        }[work]
        stripe.fault, interrupted = fails_at(position, fault), False
        try:
            act()
        except TransientError:
            interrupted = True
        stripe.fault = lambda method, path: ""
        act()
        assert (stripe.charged(order), len(stripe.of(order))) == (3000, 1)
        assert stripe.refunded(order) == (0 if work == "charge" else 3000)
        if not interrupted:
            break
        position += 1
    assert position >= 2


def fails_at(position, fault):
    seen = []

    def decide(method, path):
        seen.append(path)
        return fault if len(seen) == position + 1 else ""

    return decide


def test_a_day_later_when_stripe_has_forgotten_the_keys_nothing_is_charged_twice(stripe, fake_clock):
    provider = StripeProvider()
    stripe.fault = lambda method, path: "lose" if path.endswith("/confirm") else ""
    with pytest.raises(OutcomeUnknown):
        provider.charge("o1", 3000, "EUR", "pm_ok")
    stripe.fault = lambda method, path: ""
    stripe.forget_keys()
    provider.charge("o1", 3000, "EUR", "pm_ok")
    assert (stripe.charged("o1"), len(stripe.of("o1"))) == (3000, 1)
    provider.refund("o1")
    stripe.forget_keys()
    provider.refund("o1")
    assert stripe.refunded("o1") == 3000


@pytest.mark.parametrize("request_", ["/payment_intents", "/payment_intents/pi_1/confirm"])
def test_a_cancel_during_any_request_of_a_charge_leaves_nothing_charged(stripe, fake_clock, request_):
    provider, other = StripeProvider(), StripeProvider()
    canceled = []

    def cancel_first(method, path):
        if path == request_ and not canceled:
            canceled.append(path)
            other.cancel("o1")
        return ""

    stripe.fault = cancel_first
    with pytest.raises(PaymentDeclined):
        provider.charge("o1", 3000, "EUR", "pm_ok")
    assert stripe.charged("o1") == 0


def test_a_cancel_that_a_charge_overtakes_refunds_it(stripe, fake_clock):
    provider = StripeProvider()
    with pytest.raises(OutcomeUnknown):
        provider.charge("o1", 3000, "EUR", "pm_processing")

    def succeed_first(method, path):
        if path.endswith("/cancel"):
            stripe.authenticate("o1")
        return ""

    with pytest.raises(OutcomeUnknown):
        provider.cancel("o1")  # in process: neither charged nor canceled
    stripe.fault = succeed_first
    assert provider.cancel("o1") == Capture(3000, 3000)


def test_what_needs_the_buyer_at_the_bank_is_canceled_and_declined(stripe, fake_clock):
    with pytest.raises(PaymentDeclined, match="did not confirm it"):
        StripeProvider().charge("o1", 3000, "EUR", "pm_action")
    assert [each["status"] for each in stripe.of("o1")] == ["canceled"]


def test_a_partial_refund_by_hand_is_seen_and_a_refund_returns_the_rest(stripe, fake_clock):
    provider = StripeProvider()
    provider.charge("o1", 3000, "EUR", "pm_ok")
    stripe.refund_by_hand("o1", 1000)
    assert provider.find("o1") == Capture(3000, 1000)
    assert provider.refund("o1") == Capture(3000, 3000)


def test_a_stripe_that_hangs_is_cut_off_at_the_deadline_and_then_by_the_breaker(stripe, fake_clock):
    stripe.fault = lambda method, path: "hang"
    provider = StripeProvider()
    for _ in range(5):
        with pytest.raises(TransientError), deadline.within(0.05):
            provider.charge("o1", 3000, "EUR", "pm_ok")
    sent = len(stripe.requests)
    with pytest.raises(TransientError, match="circuit open"):
        provider.charge("o1", 3000, "EUR", "pm_ok")
    assert len(stripe.requests) == sent


def test_stripe_needs_a_key():
    with pytest.raises(ValueError, match="STRIPE_API_KEY"):
        PaymentsSettings(payment_provider="stripe")
