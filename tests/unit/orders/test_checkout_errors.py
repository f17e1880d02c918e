"""The errors of the checkout saga: declared by its steps, stored as a reason, and raised again as their class."""

import pytest

from chassis.errors import NotAttempted
from chassis.sagas import Done
from services.orders.checkout import CheckoutTimedOut, checkout
from services.payments.messages import PaymentDeclined


def test_errors_are_those_of_all_steps():
    assert {error.kind for error in checkout.errors} == {
        "buyer_unknown",
        "buyer_locked",
        "buyer_unverified",
        "insufficient_stock",
        "released",
        "not_reserved",
        "payment_declined",
        "payment_cancelled",
        "too_many_declines",
        "cancelled",
        "timeout",
        "aborted",
    }


@pytest.fixture
def at_payment(fake_clock):
    run = checkout.given(order_id="o1")
    for step in ("place", "check buyer", "reserve stock"):
        run.expects(step).replies(Done())
    return run


def test_stored_reason_is_rebuilt_as_its_class(at_payment):
    declined = PaymentDeclined("no money")
    error = checkout.rebuild(at_payment.replies(declined).state.reason, orderId="o1")
    assert type(error) is PaymentDeclined
    assert (error.title, error.detail) == (declined.title, declined.detail)
    assert error.extra == {"reason": "no money", "orderId": "o1"}


def test_step_past_its_time_limit_is_rebuilt_as_a_timeout(at_payment, fake_clock):
    fake_clock.pass_time(601)
    error = checkout.rebuild(at_payment.replies(NotAttempted("circuit open")).state.reason)
    assert type(error) is CheckoutTimedOut
    assert (error.kind, error.title, error.detail) == ("timeout", "Could not take payment", "It took too long.")


def test_reason_of_an_undeclared_kind_is_rebuilt_as_it_was_stored():
    reason = {"kind": "sold_out", "title": "Sold out", "detail": "Come back later.", "extra": {}}
    error = checkout.rebuild(reason)
    assert (error.kind, error.title, error.detail) == ("sold_out", "Sold out", "Come back later.")
