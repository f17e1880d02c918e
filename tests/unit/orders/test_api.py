"""The body of an order: it names products and quantities, and never a price."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.orders.api import NewOrder
from services.orders.domain import is_card_number

BODY = {"productId": "P1", "quantity": 1}


def test_an_order_body_accepts_a_product_and_a_quantity():
    assert NewOrder.read(BODY).quantity == 1


@pytest.mark.parametrize("field", ["total", "totalAmount", "price", "currency", "status", "paid"])
def test_an_order_body_rejects_fields_that_the_server_sets(field):
    with pytest.raises(ValidationError):
        NewOrder.read({**BODY, field: "0.01"})


CARDS = ["4242424242424242", "4242-4242-4242-4242", "4242_4242_4242_4242", "378282246310005", "-6304000000000000-"]


@pytest.mark.parametrize("token", [*CARDS, "4242 4242 4242 4242", " 4242424242424242"])
def test_the_number_of_a_card_is_no_payment_token(token):
    with pytest.raises(ValidationError) as refused:
        NewOrder.read({**BODY, "paymentToken": token})
    assert token not in str(refused.value.errors(include_input=False))


@pytest.mark.parametrize("token", ["tok_ok", "4242424242424241", "424242", "0" * 20, "pm_4242424242424242x", "18"])
def test_other_payment_tokens_are_accepted(token):
    assert NewOrder.read({**BODY, "paymentToken": token}).payment_token == token


def check_digit(digits: str) -> str:
    """Return the digit that completes a card number, by the table of the doubled digits."""
    doubled = {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8, "5": 1, "6": 3, "7": 5, "8": 7, "9": 9}
    values = [doubled[digit] if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(digits))]
    return str(-sum(values) % 10)


@given(st.text("0123456789", min_size=11, max_size=18), st.integers(1, 9), st.sampled_from(["", "-", " ", "_", "--"]))
def test_one_last_digit_of_ten_completes_a_card_number(digits, other, separator):
    last = check_digit(digits)
    wrong = str((int(last) + other) % 10)
    assert is_card_number(separator.join(digits + last))
    assert not is_card_number(separator.join(digits + wrong))
