"""Decisions on an order."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidInput, NotFound
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
CANCEL_REQUESTED = CancelRequested(order_id="o1")

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
def test_folding_a_history_yields_its_status(status):
    assert order(*HISTORIES[status]).status == status


@pytest.mark.parametrize("status", [each for each in HISTORIES if each != "confirmed"])
def test_only_a_confirmed_order_can_be_shipped(status):
    with pytest.raises(domain.WrongStatus, match=status):
        domain.ship(order(*HISTORIES[status]))


@pytest.mark.parametrize("status", [each for each in HISTORIES if each != "shipped"])
def test_only_a_shipped_order_can_be_delivered(status):
    with pytest.raises(domain.WrongStatus, match=status):
        domain.deliver(order(*HISTORIES[status]))


@pytest.mark.parametrize("status", ["shipped", "delivered", "rejected"])
def test_a_shipped_or_rejected_order_cannot_be_canceled(status):
    with pytest.raises(domain.WrongStatus, match=status):
        domain.cancel(order(*HISTORIES[status]))


def test_a_second_cancel_changes_nothing():
    assert domain.cancel(order(*HISTORIES["cancelled"])) is None
    assert domain.cancel(order(PLACED, CANCEL_REQUESTED)) is None


def test_canceling_a_pending_order_only_requests_it():
    assert domain.cancel(order(PLACED)) == CANCEL_REQUESTED


def test_confirm_is_rejected_after_a_cancel_request():
    with pytest.raises(domain.CancelledByBuyer):
        domain.confirm(order(PLACED, CANCEL_REQUESTED), "o1")


@pytest.mark.parametrize("status", ["confirmed", "shipped", "delivered", "cancelled"])
def test_a_repeated_confirm_changes_nothing_in_any_later_status(status):
    """A driver that crashed before it saved the step repeats it; an error would undo payment and stock."""
    assert domain.confirm(order(*HISTORIES[status]), "o1") is None


def test_reject_cancels_instead_if_the_buyer_asked_for_it():
    assert domain.reject(order(PLACED), "insufficient_stock") == REJECTED
    assert domain.reject(order(PLACED, CANCEL_REQUESTED), "insufficient_stock") == CANCELLED


@pytest.mark.parametrize("status", [each for each in HISTORIES if each != "pending"])
def test_a_repeated_decision_appends_no_event(status):
    state = order(*HISTORIES[status])
    assert domain.place(state, PLACED) is None
    assert domain.reject(state, "late") is None


def test_an_order_that_does_not_exist_is_not_found():
    with pytest.raises(NotFound):
        domain.cancel(domain.NEW)


def item(id, price, currency="EUR"):
    return PricedItem(product_id=id, name=id.upper(), price=price, currency=currency)


def test_the_total_uses_catalog_prices():
    items, total = domain.priced({"a": 2, "b": 1}, [item("a", 1250), item("b", 99)])
    assert total == Money(2599, "EUR")
    assert [(each.product_id, each.quantity, each.price) for each in items] == [("a", 2, "12.50"), ("b", 1, "0.99")]


def test_an_unknown_product_is_rejected_by_name():
    with pytest.raises(InvalidInput) as refused:
        domain.priced({"a": 1, "zz": 1}, [item("a", 1)])
    assert "zz" in refused.value.extra["errors"][0]["reason"]


def test_products_in_two_currencies_are_rejected():
    with pytest.raises(InvalidInput):
        domain.priced({"a": 1, "b": 1}, [item("a", 1), item("b", 1, "USD")])


@pytest.mark.parametrize(
    ("currency", "price", "quantity", "total"),
    [
        ("KWD", 999999999999_000, 9224, "9223999999990776.000"),
        ("BHD", 999999999999_999, 10000, "9999999999999990.000"),
        ("EUR", 99999999999_00, 1001, "100099999998999.00"),
        ("JPY", 999999999999, 10000, "9999999999990000"),
        ("EUR", 2**63, 1, "92233720368547758.08"),
    ],
)
def test_a_total_that_clients_cannot_read_exactly_is_rejected(currency, price, quantity, total):
    with pytest.raises(InvalidInput) as refused:
        domain.priced({"a": quantity}, [item("a", price, currency)])
    assert f"the total is {total} {currency}" in refused.value.extra["errors"][0]["reason"]


@given(st.lists(st.tuples(st.integers(0, Money.MAX_MINOR), st.integers(1, 10_000)), min_size=1, max_size=5))
def test_the_total_is_exact_or_rejected(lines):
    quantities = {str(number): quantity for number, (_, quantity) in enumerate(lines)}
    prices = [item(str(number), price) for number, (price, _) in enumerate(lines)]
    exact = sum(price * quantity for price, quantity in lines)
    try:
        _, total = domain.priced(quantities, prices)
    except InvalidInput:
        assert exact > Money.MAX_MINOR
    else:
        assert total.minor == exact <= Money.MAX_MINOR


@pytest.mark.parametrize(("expected", "currency"), [("25.99", "EUR"), ("25.990", ""), (None, "EUR"), (None, "")])
def test_an_order_that_costs_what_the_buyer_expects_is_accepted(expected, currency):
    items, total = domain.priced({"a": 2, "b": 1}, [item("a", 1250), item("b", 99)])
    domain.require_expected(items, total, expected and Decimal(expected), currency)


@pytest.mark.parametrize(
    ("expected", "currency"),
    [("25.98", ""), ("26", "EUR"), ("0", ""), ("25.990001", ""), ("25.99", "USD"), (None, "USD")],
)
def test_an_order_that_costs_something_else_names_the_new_lines(expected, currency):
    items, total = domain.priced({"a": 2, "b": 1}, [item("a", 1250), item("b", 99)])
    with pytest.raises(domain.PriceChanged) as refused:
        domain.require_expected(items, total, expected and Decimal(expected), currency)
    assert refused.value.kind == "price_changed"
    assert refused.value.extra["totalAmount"] == "25.99"
    assert refused.value.extra["items"][0] == {"productId": "a", "name": "A", "quantity": 2, "price": "12.50"}
