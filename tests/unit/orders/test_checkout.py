"""The steps of the checkout saga, and what it undoes when one is rejected."""

import pytest

from chassis.errors import NotAttempted, OutcomeUnknown
from chassis.sagas import Done
from services.inventory.messages import InsufficientStock
from services.orders.checkout import checkout
from services.orders.domain import CancelledByBuyer
from services.payments.messages import PaymentDeclined
from services.users.messages import BuyerUnknown

DECLINED = PaymentDeclined("card declined")
GONE = InsufficientStock("mug", available=0, wanted=1)


@pytest.fixture
def run():
    return checkout.given(order_id="o1", user_id="u1", total=3000, currency="EUR", lines=[], payment_token="tok_ok")


def done_until(run, step):
    for name in [each.name for each in checkout.steps]:
        if name == step:
            return run
        run.expects(name).replies(Done({"payment_id": "o1"} if name == "take payment" else {}))
    return run


def test_checkout_confirms_when_every_step_succeeds(run):
    done_until(run, None).ends("done")


def test_an_unknown_buyer_rejects_the_order_and_undoes_only_that(run):
    done_until(run, "check buyer").replies(BuyerUnknown())
    run.expects_undo("place", because="buyer_unknown").replies(Done())
    run.ends("undone")


def test_a_declined_payment_releases_the_stock(run):
    done_until(run, "take payment").replies(DECLINED)
    run.expects_undo("reserve stock", because="payment_declined").replies(Done())
    run.expects_undo("place").replies(Done())
    run.ends("undone")


def test_units_gone_after_payment_refund_it(run):
    done_until(run, "confirm stock").replies(GONE)
    run.expects_undo("take payment", because="insufficient_stock").replies(Done())
    run.expects_undo("reserve stock").replies(Done())
    run.expects_undo("place").replies(Done())
    run.ends("undone")


def test_a_cancel_before_confirmation_undoes_every_step(run):
    done_until(run, "confirm order").replies(CancelledByBuyer())
    for step in ("confirm stock", "take payment", "reserve stock", "place"):
        run.expects_undo(step, because="cancelled").replies(Done())
    run.ends("undone")


def test_an_unknown_payment_is_retried_under_the_same_key(run):
    done_until(run, "take payment")
    key = checkout.idempotency_key("o1", run.state)
    run.replies(OutcomeUnknown("no answer")).expects("take payment").replies(NotAttempted("breaker"))
    assert checkout.idempotency_key("o1", run.state) == key
    run.expects("take payment").replies(Done({"payment_id": "o1"}))
    run.expects("confirm stock")


def test_a_payment_still_unknown_at_the_time_limit_is_canceled(run, fake_clock):
    done_until(run, "take payment").replies(OutcomeUnknown("no answer"))
    fake_clock.pass_time(601)
    run.expects("take payment").replies(OutcomeUnknown("no answer"))
    run.expects_undo("take payment", because="timeout").replies(Done())


def test_a_payment_that_was_never_attempted_is_not_canceled(run, fake_clock):
    done_until(run, "take payment").replies(NotAttempted("no connection"))
    fake_clock.pass_time(601)
    run.expects("take payment").replies(NotAttempted("no connection"))
    run.expects_undo("reserve stock", because="timeout")


def test_steps_after_the_payment_have_no_time_limit(run, fake_clock):
    done_until(run, "confirm stock").replies(OutcomeUnknown("no answer"))
    fake_clock.pass_time(3600)
    run.expects("confirm stock").replies(OutcomeUnknown("no answer"))
    run.expects("confirm stock")


def test_an_undo_is_retried_until_it_succeeds(run):
    done_until(run, "take payment").replies(DECLINED)
    for _ in range(30):
        run.expects_undo("reserve stock").replies(OutcomeUnknown("no answer"))
    assert checkout.backoff_s(run.state) == 15.0
    run.expects_undo("reserve stock").replies(Done())
    run.expects_undo("place")


def test_the_payment_token_is_dropped_when_the_saga_ends(run):
    assert run.state.data["payment_token"]
    done_until(run, None).ends("done")
    assert "payment_token" not in run.state.data
