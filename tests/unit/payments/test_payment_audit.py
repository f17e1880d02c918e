"""Audit of payments: no findings after a crash at any write, and one for each difference from the provider."""

import pytest

from chassis import clock, deadline, failure_limits
from chassis.errors import OutcomeUnknown
from services.payments import application, invariants, jobs, repository
from services.payments.messages import CancelPayment, Charge, GetPayments, ListPayments, PaymentDeclined
from services.payments.providers.test import ledger
from tests.unit.conftest import crashes


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    for collection in (repository.payments, ledger, failure_limits.failures):
        collection.attach(store).ensure_indexes()


def charge(order, token="tok_ok"):
    command = Charge(order_id=order, user_id="u1", total=3000, currency="EUR", payment_token=token)
    with deadline.within(4):
        return application.charge(command)


def cancel(order):
    application.cancel(CancelPayment(order_id=order, user_id="u1", total=3000, currency="EUR"))


def findings():
    ids = list(invariants.payment_ids())
    return {f"{each.invariant} {each.id} {each.detail}" for each in (invariants.check_payments(ids) if ids else [])}


def test_audit_finds_nothing_after_a_charge_crashed_at_any_write(store):
    for _ in crashes(store, charge):
        assert findings() == set()


def test_audit_finds_nothing_after_a_crashed_cancel_was_retried(store):
    def undo(order):
        charge(order)
        cancel(order)

    for order in crashes(store, undo):
        cancel(order)
        assert findings() == set()


def test_audit_accepts_a_refund_that_is_pending():
    charge("o1")
    repository.payments.update("o1", {"$set": {"refundPending": True}})
    ledger.update("o1", {"$set": {"refunded": 3000}})
    assert findings() == set()
    jobs.refund_cancelled_orders()
    assert (repository.payments.get("o1")["status"], findings()) == ("refunded", set())


@pytest.mark.parametrize("token", ["tok_declined", "tok_insufficient_funds"])
def test_audit_accepts_a_declined_payment(token):
    with pytest.raises(PaymentDeclined):
        charge("o1", token)
    assert findings() == set()


def test_audit_finds_a_payment_undecided_for_15_minutes(fake_clock):
    since = clock.timestamp()
    with pytest.raises(OutcomeUnknown):
        charge("o1", "tok_timeout")
    assert findings() == set()
    fake_clock.pass_time(invariants.UNDECIDED_AFTER_S + 1)
    assert findings() == {f"I1 o1 is unknown since {since}"}


@pytest.mark.parametrize(
    ("entry", "payment", "found"),
    [
        (
            {"captured": 6000},
            {},
            {"I2 o1 captured 6000 of 3000", "I1 o1 is recorded with 3000, but the provider holds 6000"},
        ),
        ({"refunded": 3000}, {}, {"I1 o1 is recorded with 3000, but the provider holds 0"}),
        ({"captured": 0}, {}, {"I1 o1 is recorded with 3000, but the provider holds 0"}),
        ({}, {"status": "failed"}, {"I1 o1 is recorded with 0, but the provider holds 3000"}),
        ({}, {"status": "refunded", "refundedAmount": 3000}, {"I1 o1 is recorded with 0, but the provider holds 3000"}),
        (
            {"refunded": 4000},
            {"status": "refunded", "refundedAmount": 3000},
            {"I2 o1 refunded 4000 of 3000", "I1 o1 is recorded with 0, but the provider holds -1000"},
        ),
    ],
)
def test_audit_finds_a_payment_that_differs_from_the_provider(entry, payment, found):
    charge("o1")
    for collection, fields in ((ledger, entry), (repository.payments, payment)):
        if fields:
            collection.update("o1", {"$set": fields})
    assert findings() == found


def test_commands_return_payment_states_page_by_page():
    for order in ("o1", "o2"):
        charge(order)
    cancel("o2")
    (state,) = application.get_payments(GetPayments(order_ids=["o2", "o3"])).items
    assert (state.order_id, state.status, state.amount, state.refunded) == ("o2", "refunded", 3000, 3000)
    assert application.list_payments(ListPayments(after="")).order_ids == ["o1", "o2"]
    assert application.list_payments(ListPayments(after="o1")).order_ids == ["o2"]
    assert application.list_payments(ListPayments(after="o2")).order_ids == []
