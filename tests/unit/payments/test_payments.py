"""An order is paid for at most once, wherever a handler is cut off, and what was undone stays undone."""

import pytest

from chassis import deadline
from chassis.errors import DomainError, OutcomeUnknown
from chassis.events.envelope import Meta
from services.orders.messages import OrderCancelled
from services.payments import application, handlers, jobs, repository
from services.payments.messages import CancelPayment, Charge
from services.payments.providers.test import ledger
from tests.unit.conftest import crashes


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    repository.payments.attach(store).ensure_indexes()
    ledger.attach(store).ensure_indexes()


def charge(order, token="tok_ok"):
    command = Charge(order_id=order, user_id="u1", total=3000, currency="EUR", payment_token=token)
    with deadline.within(4):
        return application.charge(command)


def cancel(order):
    application.cancel(CancelPayment(order_id=order, user_id="u1", total=3000, currency="EUR"))


def net(order):
    entry = ledger.get(order) or {"captured": 0, "refunded": 0}
    return entry["captured"] - entry["refunded"]


def told(order):
    return [entry["type"] for entry in repository.payments.get(order)["outbox"]]


def test_a_charge_that_is_repeated_captures_once():
    for _ in range(3):
        assert charge("o1").payment_id == "o1"
    assert (net("o1"), told("o1")) == (3000, ["payment.completed"])


@pytest.mark.parametrize("token", ["tok_declined", "tok_insufficient_funds", "tok_nobody_knows"])
def test_a_declined_card_stays_declined(token):
    for _ in range(2):
        with pytest.raises(DomainError) as refused:
            charge("o1", token)
        assert refused.value.kind == "payment_declined"
    assert (net("o1"), told("o1")) == (0, ["payment.failed"])


def test_a_payment_that_times_out_is_unknown_and_then_found():
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_timeout")
    assert repository.payments.get("o1")["status"] == "unknown"
    charge("o1", "tok_timeout")
    assert (net("o1"), told("o1")) == (3000, ["payment.completed"])


def test_a_provider_that_fails_once_is_asked_again():
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_error")
    charge("o1", "tok_error")
    assert net("o1") == 3000


def test_a_cancel_refunds_what_was_captured_unseen():
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_timeout")
    cancel("o1")
    assert (net("o1"), told("o1")) == (0, ["payment.completed", "payment.refunded"])


def test_a_cancel_that_comes_first_bars_the_charge():
    cancel("o1")
    with pytest.raises(DomainError) as refused:
        charge("o1")
    assert (refused.value.kind, net("o1")) == ("payment_cancelled", 0)


def test_a_charge_under_way_while_it_is_cancelled_captures_nothing():
    payment = application._get_or_create(
        Charge(order_id="o1", user_id="u1", total=3000, currency="EUR", payment_token="tok_ok"), "pending"
    )
    cancel("o1")
    assert application._charge(payment, "tok_ok")["status"] == "failed"
    assert net("o1") == 0


def test_a_charge_that_another_of_unknown_outcome_overtakes_is_not_refused(monkeypatch):
    capture = application.provider.charge

    def another_fails_meanwhile(key, *rest):
        monkeypatch.undo()
        capture(key, *rest)
        repository.change_status(repository.payments.get(key), "unknown")

    monkeypatch.setattr(application.provider, "charge", another_fails_meanwhile)
    with pytest.raises(OutcomeUnknown):
        charge("o1")
    charge("o1")
    assert (net("o1"), told("o1")) == (3000, ["payment.completed"])


def test_a_cancelled_order_is_refunded_once():
    charge("o1")
    meta = Meta("o1:3", "orders", "order.cancelled", "", "o1", 3)
    for _ in range(3):
        handlers.on_order_cancelled(OrderCancelled(order_id="o1", user_id="u1", reason="cancelled"), meta)
        jobs.refund_cancelled_orders()
    assert (net("o1"), told("o1")) == (0, ["payment.completed", "payment.refunded"])


def test_a_charge_cut_off_anywhere_captures_once_when_it_is_repeated(store):
    for order in crashes(store, charge):
        charge(order)
        assert (ledger.get(order)["captured"], told(order)) == (3000, ["payment.completed"]), order


def test_a_cancel_cut_off_anywhere_leaves_nothing_captured_when_it_is_repeated(store):
    def work(order):
        at, after = store.at, store.after
        store.fail(0, False)
        charge(order)
        store.fail(at, after)
        cancel(order)

    for order in crashes(store, work):
        cancel(order)
        assert net(order) == 0, order
        assert told(order) == ["payment.completed", "payment.refunded"], order


def test_no_card_token_is_kept():
    charge("o1", "tok_ok")
    assert "tok_ok" not in str(repository.payments.get("o1")) + str(ledger.get("o1"))
