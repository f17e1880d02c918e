"""Webhooks of Stripe: hints that are verified, kept once, and decided by what Stripe answers."""

import json
import time

import pytest
import stripe as library

from chassis import failure_limits
from chassis.errors import NotFound, OutcomeUnknown
from services.payments import application, repository, webhooks
from services.payments.messages import CancelPayment, Charge
from services.payments.providers import by_name, stripe_http
from services.payments.providers import stripe as stripe_module
from services.payments.providers.stripe_records import events, intents
from services.payments.settings import PaymentsSettings
from tests.fake_stripe import SECRET, FakeStripe


@pytest.fixture
def stripe(store, monkeypatch):
    for collection in (repository.payments, intents, events, failure_limits.failures):
        collection.attach(store).ensure_indexes()
    with FakeStripe() as fake:
        chosen = PaymentsSettings(
            payment_provider="stripe",
            stripe_api_key="sk_test_1",
            stripe_webhook_secret=SECRET,
            stripe_api_base=fake.url,
        )
        for module in (stripe_module, stripe_http, application, webhooks):
            monkeypatch.setattr(module, "settings", lambda: chosen)
        by_name.cache_clear()
        yield fake
    by_name.cache_clear()


def charge(order, token="pm_ok"):
    command = Charge(order_id=order, user_id="u1", total=3000, currency="EUR", payment_token=token)
    return application.charge(command)


def about(stripe, order, id="evt_1", type="payment_intent.succeeded", **fields):
    (intent,) = stripe.of(order)
    return json.dumps({"id": id, "object": "event", "type": type, "data": {"object": intent}, **fields}).encode()


def signed(payload, secret=SECRET, at=None):
    timestamp = int(time.time() if at is None else at)
    return library.WebhookSignature.generate_signature_header(payload.decode(), secret, timestamp)


def receive(payload, **how):
    webhooks.receive(payload, signed(payload, **how))


def payment(order):
    return repository.payments.get(order)


def published(order):
    return [entry["type"] for entry in payment(order)["outbox"]]


def test_a_payment_in_process_is_completed_by_its_webhook_once(stripe):
    with pytest.raises(OutcomeUnknown):
        charge("o1", "pm_processing")
    stripe.authenticate("o1")
    for _ in range(3):
        receive(about(stripe, "o1"))
        webhooks.process()
    assert (payment("o1")["status"], published("o1")) == ("completed", ["payment.completed"])
    assert charge("o1", "pm_processing").payment_id == "o1"
    assert stripe.charged("o1") == 3000


def test_what_a_webhook_says_decides_nothing(stripe):
    with pytest.raises(OutcomeUnknown):
        charge("o1", "pm_processing")
    receive(about(stripe, "o1").replace(b'"processing"', b'"succeeded"'))
    webhooks.process()
    assert payment("o1")["status"] == "unknown"


def test_a_webhook_is_carried_out_though_the_process_died_after_it_was_received(stripe, monkeypatch):
    with pytest.raises(OutcomeUnknown):
        charge("o1", "pm_processing")
    stripe.authenticate("o1")
    receive(about(stripe, "o1"))
    stripe.fault = lambda method, path: "lose"
    webhooks.process()
    stripe.fault = lambda method, path: ""
    receive(about(stripe, "o1"))
    webhooks.process()
    assert payment("o1")["status"] == "completed"


def test_a_late_webhook_of_a_refunded_payment_changes_nothing(stripe):
    charge("o1")
    payload = about(stripe, "o1")
    application.cancel(CancelPayment(order_id="o1", user_id="u1", total=3000, currency="EUR"))
    before = payment("o1")
    receive(payload)
    webhooks.process()
    assert payment("o1") == before


def test_a_partial_refund_at_stripe_is_recorded_and_publishes_nothing(stripe):
    charge("o1")
    stripe.refund_by_hand("o1", 1000)
    receive(about(stripe, "o1", type="charge.refunded"))
    webhooks.process()
    assert (payment("o1")["status"], payment("o1")["refundedAmount"]) == ("completed", 1000)
    assert published("o1") == ["payment.completed"]


@pytest.mark.parametrize(
    ("secret", "off_s"),
    [
        ("whsec_of_another_account", 0),
        (SECRET, -webhooks.TOLERANCE_S - 5),
        (SECRET, webhooks.TOLERANCE_S + 60),
    ],
    ids=["secret", "past", "future"],
)
def test_a_webhook_that_stripe_did_not_sign_now_is_refused(stripe, secret, off_s):
    charge("o1")
    with pytest.raises(webhooks.InvalidSignature):
        receive(about(stripe, "o1"), secret=secret, at=time.time() + off_s)
    assert list(events.iterate()) == []


@pytest.mark.parametrize("signature", ["", "t=1", "v1=ab", "t=x,v1=y", f"t=NOW,v1={'0' * 64}"])
def test_a_malformed_signature_is_refused(stripe, signature):
    charge("o1")
    with pytest.raises(webhooks.InvalidSignature):
        webhooks.receive(about(stripe, "o1"), signature.replace("NOW", str(int(time.time()))))


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"[]", b'"text"', b"{"])
def test_a_signed_body_that_is_no_event_is_refused(stripe, payload):
    with pytest.raises(webhooks.InvalidSignature):
        webhooks.receive(payload, signed(payload.decode("latin-1").encode()))
    assert list(events.iterate()) == []


@pytest.mark.parametrize(
    "body",
    [
        {"id": "evt_1"},
        {"id": "evt_1", "data": []},
        {"data": {"object": 1}},
        {"id": "evt_1", "data": {"object": {"object": "payout", "id": "po_1"}}},
    ],
)
def test_events_about_nothing_of_ours_are_accepted_and_not_stored(stripe, body):
    receive(json.dumps(body).encode())
    assert list(events.iterate()) == []


def test_an_event_of_another_account_is_refused(stripe):
    charge("o1")
    with pytest.raises(webhooks.OtherAccount):
        receive(about(stripe, "o1", account="acct_2"))
    assert list(events.iterate()) == []


def test_without_a_secret_there_is_no_webhook(stripe, monkeypatch):
    charge("o1")
    chosen = PaymentsSettings(payment_provider="stripe", stripe_api_key="sk_test_1")
    monkeypatch.setattr(webhooks, "settings", lambda: chosen)
    with pytest.raises(NotFound):
        receive(about(stripe, "o1"))


def test_events_are_deleted_once_stripe_repeats_them_no_more(stripe, fake_clock):
    charge("o1")
    payload = about(stripe, "o1")
    webhooks.events.insert(
        {"_id": "evt_0", "payment": "o1", "pending": False, "receivedAt": "2029-12-01T00:00:00.000Z"}
    )
    webhooks.delete_old()
    assert list(events.iterate()) == []
    assert payload


def test_an_order_of_nothing_is_paid_without_the_provider(stripe):
    application.charge(Charge(order_id="o1", user_id="u1", total=0, currency="EUR", payment_token="pm_ok"))
    assert (payment("o1")["status"], stripe.requests) == ("completed", [])
    application.cancel(CancelPayment(order_id="o1", user_id="u1", total=0, currency="EUR"))
    assert payment("o1")["status"] == "refunded"
