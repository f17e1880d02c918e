"""What may happen to an order."""

import pytest

from chassis.errors import DomainError, InvalidInput, NotFound
from chassis.money import Money
from services.orders import domain
from services.orders.domain import CancelRequested
from services.orders.messages import (
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderPlaced,
    OrderRejected,
    OrderShipped,
)
from services.products.messages import PricedItem

PLACED = OrderPlaced(order_id="o1", user_id="u1", items=[], total_amount="30.00", currency="EUR")
CONFIRMED = OrderConfirmed(order_id="o1", user_id="u1", payment_id="o1")
SHIPPED = OrderShipped(order_id="o1", user_id="u1")
DELIVERED = OrderDelivered(order_id="o1", user_id="u1")
REJECTED = OrderRejected(order_id="o1", user_id="u1", reason="insufficient_stock")
CANCELLED = OrderCancelled(order_id="o1", user_id="u1", reason="cancelled")
ASKED = CancelRequested(order_id="o1")

PENDING = [PLACED]
HISTORIES = {
    "pending": PENDING,
    "confirmed": [PLACED, CONFIRMED],
    "shipped": [PLACED, CONFIRMED, SHIPPED],
    "delivered": [PLACED, CONFIRMED, SHIPPED, DELIVERED],
    "rejected": [PLACED, REJECTED],
    "cancelled": [PLACED, CONFIRMED, CANCELLED],
}


def order(*events):
    state = domain.NEW
    for number, event in enumerate(events):
        state = state.apply(event, f"2026-01-01T00:00:0{number}.000Z")
    return state


@pytest.mark.parametrize("status", HISTORIES)
def test_the_fold_of_a_history_has_its_status(status):
    assert order(*HISTORIES[status]).status == status


@pytest.mark.parametrize("status", [each for each in HISTORIES if each != "confirmed"])
def test_only_a_confirmed_order_is_shipped(status):
    with pytest.raises(DomainError, match=status):
        domain.ship(order(*HISTORIES[status]))


@pytest.mark.parametrize("status", [each for each in HISTORIES if each != "shipped"])
def test_only_a_shipped_order_is_delivered(status):
    with pytest.raises(DomainError, match=status):
        domain.deliver(order(*HISTORIES[status]))


@pytest.mark.parametrize("status", ["shipped", "delivered", "rejected"])
def test_an_order_that_left_or_never_was_cannot_be_cancelled(status):
    with pytest.raises(DomainError, match=status):
        domain.cancel(order(*HISTORIES[status]))


def test_cancelling_twice_changes_nothing_more():
    assert domain.cancel(order(*HISTORIES["cancelled"])) is None
    assert domain.cancel(order(PLACED, ASKED)) is None


def test_a_pending_order_is_only_asked_to_be_cancelled():
    assert domain.cancel(order(PLACED)) == ASKED


def test_a_confirmation_loses_against_a_cancel_that_came_first():
    with pytest.raises(domain.CancelledByBuyer):
        domain.confirm(order(PLACED, ASKED), "o1")


@pytest.mark.parametrize("status", ["confirmed", "shipped", "delivered", "cancelled"])
def test_a_confirmation_that_is_repeated_changes_nothing_whatever_came_behind_it(status):
    """A driver that died before it wrote down the step; a refusal would have the payment and the stock given back."""
    assert domain.confirm(order(*HISTORIES[status]), "o1") is None


def test_what_could_not_be_had_is_rejected_or_cancelled_if_that_was_asked():
    assert domain.reject(order(PLACED), "insufficient_stock") == REJECTED
    assert domain.reject(order(PLACED, ASKED), "insufficient_stock") == CANCELLED


@pytest.mark.parametrize("status", [each for each in HISTORIES if each != "pending"])
def test_a_decision_that_was_made_is_not_made_again(status):
    state = order(*HISTORIES[status])
    assert domain.place(state, PLACED) is None
    assert domain.reject(state, "late") is None


def test_there_is_nothing_to_cancel_where_no_order_is():
    with pytest.raises(NotFound):
        domain.cancel(domain.NEW)


def item(id, price, currency="EUR"):
    return PricedItem(product_id=id, name=id.upper(), price=price, currency=currency)


def test_the_total_is_that_of_the_catalog():
    items, total = domain.priced({"a": 2, "b": 1}, [item("a", 1250), item("b", 99)])
    assert total == Money(2599, "EUR")
    assert [(each.product_id, each.quantity, each.price) for each in items] == [("a", 2, "12.50"), ("b", 1, "0.99")]


def test_a_product_that_is_not_in_the_catalog_is_refused_by_name():
    with pytest.raises(InvalidInput) as refused:
        domain.priced({"a": 1, "zz": 1}, [item("a", 1)])
    assert "zz" in refused.value.extra["errors"][0]["reason"]


def test_products_of_different_currencies_are_no_order():
    with pytest.raises(InvalidInput):
        domain.priced({"a": 1, "b": 1}, [item("a", 1), item("b", 1, "USD")])
