"""Payments: at most one capture for each order after a crash at any write, and no charge after a cancel."""

import pytest

from chassis import deadline, failure_limits
from chassis.errors import OutcomeUnknown
from chassis.events.envelope import Meta
from services.orders.messages import OrderCancelled
from services.payments import application, handlers, jobs, repository
from services.payments.messages import CancelPayment, Charge, PaymentCancelled, PaymentDeclined, TooManyDeclines
from services.payments.providers import by_name
from services.payments.providers.test import ledger
from tests.unit.conftest import crashes


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    for collection in (repository.payments, ledger, failure_limits.failures):
        collection.attach(store).ensure_indexes()


def charge(order, token="tok_ok", user="u1"):
    command = Charge(order_id=order, user_id=user, total=3000, currency="EUR", payment_token=token)
    with deadline.within(4):
        return application.charge(command)


def cancel(order):
    application.cancel(CancelPayment(order_id=order, user_id="u1", total=3000, currency="EUR"))


def net(order):
    entry = ledger.get(order) or {"captured": 0, "refunded": 0}
    return entry["captured"] - entry["refunded"]


def published(order):
    return [entry["type"] for entry in repository.payments.get(order)["outbox"]]


def test_a_repeated_charge_captures_once():
    for _ in range(3):
        assert charge("o1").payment_id == "o1"
    assert (net("o1"), published("o1")) == (3000, ["payment.completed"])


@pytest.mark.parametrize("token", ["tok_declined", "tok_insufficient_funds", "tok_nobody_knows"])
def test_a_declined_charge_stays_declined(token):
    for _ in range(2):
        with pytest.raises(PaymentDeclined):
            charge("o1", token)
    assert (net("o1"), published("o1")) == (0, ["payment.failed"])


def test_a_charge_that_timed_out_is_found_on_retry():
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_timeout")
    assert repository.payments.get("o1")["status"] == "unknown"
    charge("o1", "tok_timeout")
    assert (net("o1"), published("o1")) == (3000, ["payment.completed"])


def test_a_charge_that_failed_once_is_retried():
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_error")
    charge("o1", "tok_error")
    assert net("o1") == 3000


def test_cancel_refunds_a_capture_whose_answer_was_lost():
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_timeout")
    cancel("o1")
    assert (net("o1"), published("o1")) == (0, ["payment.completed", "payment.refunded"])


def test_a_charge_after_a_cancel_is_rejected():
    cancel("o1")
    with pytest.raises(PaymentCancelled):
        charge("o1")
    assert net("o1") == 0


def test_a_charge_canceled_while_it_runs_captures_nothing():
    command = Charge(order_id="o1", user_id="u1", total=3000, currency="EUR", payment_token="tok_ok")
    payment = application._get_or_create(command, "pending")
    cancel("o1")
    assert application._charge(payment, command)[0]["status"] == "failed"
    assert net("o1") == 0


def test_a_charge_overtaken_by_another_has_an_unknown_outcome(monkeypatch):
    capture = by_name("test").charge

    def another_fails_meanwhile(key, *rest):
        monkeypatch.undo()
        capture(key, *rest)
        repository.change_status(repository.payments.get(key), "unknown")

    monkeypatch.setattr(by_name("test"), "charge", another_fails_meanwhile)
    with pytest.raises(OutcomeUnknown):
        charge("o1")
    charge("o1")
    assert (net("o1"), published("o1")) == (3000, ["payment.completed"])


def test_a_canceled_order_is_refunded_once():
    charge("o1")
    meta = Meta("o1:3", "orders", "order.cancelled", "", "o1", 3)
    for _ in range(3):
        handlers.on_order_cancelled(OrderCancelled(order_id="o1", user_id="u1", reason="cancelled"), meta)
        jobs.refund_cancelled_orders()
    assert (net("o1"), published("o1")) == (0, ["payment.completed", "payment.refunded"])


def test_a_charge_retried_after_a_crash_at_any_write_captures_once(store):
    for order in crashes(store, charge):
        charge(order)
        assert (ledger.get(order)["captured"], published(order)) == (3000, ["payment.completed"]), order


def test_a_cancel_retried_after_a_crash_at_any_write_refunds_all(store):
    def work(order):
        at, after = store.at, store.after
        store.fail(0, False)
        charge(order)
        store.fail(at, after)
        cancel(order)

    for order in crashes(store, work):
        cancel(order)
        assert net(order) == 0, order
        assert published(order) == ["payment.completed", "payment.refunded"], order


def test_the_payment_token_is_not_stored():
    charge("o1", "tok_ok")
    assert "tok_ok" not in str(repository.payments.get("o1")) + str(ledger.get("o1"))


def decline(*orders):
    for order in orders:
        with pytest.raises(PaymentDeclined):
            charge(order, "tok_declined")


def test_three_declined_payments_make_the_next_one_wait(fake_clock):
    decline("o1", "o2", "o3")
    for _ in range(2):
        with pytest.raises(TooManyDeclines) as refused:
            charge("o4")
        assert refused.value.extra["retryAfter"] == 60
    assert (net("o4"), published("o4"), ledger.get("o4")) == (0, ["payment.failed"], None)
    assert repository.payments.get("o4")["status"] == "failed"
    charge("o5", user="u2")
    fake_clock.pass_time(61)
    charge("o6")
    with pytest.raises(TooManyDeclines):
        charge("o4")
    decline("o7")
    with pytest.raises(TooManyDeclines) as refused:
        charge("o8")
    assert refused.value.extra["retryAfter"] == 120
    cancel("o8")
    assert repository.payments.get("o8")["reason"] == "too_many_declines"


def test_a_repeated_decline_counts_once():
    for _ in range(5):
        decline("o1")
    charge("o2")


def test_a_decline_that_another_process_decided_first_does_not_count(monkeypatch):
    """A cancel decided it, or the same decline, which counted."""

    def overtaken(reason):
        def charge(key, *_):
            repository.change_status(repository.payments.get(key), "failed", reason=reason)
            raise PaymentDeclined("card_declined")

        return charge

    for number, reason in enumerate(("cancelled", "card_declined", "cancelled", "card_declined")):
        with monkeypatch.context() as patched, pytest.raises((PaymentCancelled, PaymentDeclined)):
            patched.setattr(by_name("test"), "charge", overtaken(reason))
            charge(f"o{number}")
    charge("o9")


def test_a_payment_under_way_is_not_refused_for_declines_of_others():
    """The provider may have captured it."""
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_timeout")
    decline("o2", "o3", "o4")
    assert charge("o1", "tok_timeout").payment_id == "o1"
    assert net("o1") == 3000


def test_a_crash_while_a_charge_is_refused_leaves_it_refused(store):
    decline("d1", "d2", "d3")

    def work(order):
        with pytest.raises(TooManyDeclines):
            charge(order)

    for order in crashes(store, work):
        work(order)
        assert (net(order), published(order)) == (0, ["payment.failed"])
