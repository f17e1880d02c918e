"""Money: exact, and never more than every JSON client can read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.money import CURRENCIES, Money, decimal_string

currencies = st.sampled_from(sorted(CURRENCIES))
minors = st.integers(0, Money.MAX_MINOR)


@given(minors, currencies)
def test_an_amount_survives_its_decimal_and_a_client_with_doubles(minor, currency):
    money = Money(minor, currency)
    assert Money.parse(str(money), currency) == money
    assert int(json.loads(str(minor), parse_int=float)) == minor


@given(st.one_of(st.integers(max_value=-1), st.integers(Money.MAX_MINOR + 1)), currencies)
def test_an_amount_out_of_bounds_cannot_be_made(minor, currency):
    with pytest.raises(ValueError, match=currency):
        Money(minor, currency)


@given(minors, minors, st.integers(0, 10**6), currencies)
def test_sum_and_product_are_exact_or_rejected(minor, other, quantity, currency):
    money = Money(minor, currency)
    for operation, exact in (
        (lambda: money + Money(other, currency), minor + other),
        (lambda: money * quantity, minor * quantity),
    ):
        if exact <= Money.MAX_MINOR:
            assert operation().minor == exact
        else:
            with pytest.raises(ValueError, match="an amount is from 0 to"):
                operation()


def test_a_stored_amount_above_the_bound_can_be_shown():
    assert decimal_string(10**16, "EUR") == "100000000000000.00"
    assert decimal_string(2**63, "KWD") == "9223372036854775.808"


@pytest.mark.parametrize(
    ("largest", "larger", "currency"),
    [
        ("999999999999999", "1000000000000000", "JPY"),
        ("9999999999999.99", "10000000000000.00", "EUR"),
        ("999999999999.999", "1000000000000.000", "KWD"),
    ],
)
def test_the_bound_holds_for_each_number_of_decimal_places(largest, larger, currency):
    assert Money.parse(largest, currency).minor == Money.MAX_MINOR
    with pytest.raises(ValueError, match="amount"):
        Money.parse(larger, currency)
