"""What a client may say of an order: what it wants, and nothing about what that costs."""

import pytest
from pydantic import ValidationError

from services.orders.api import NewOrder

WANTED = {"productId": "P1", "quantity": 1}


def test_an_order_says_what_is_wanted():
    assert NewOrder.read(WANTED).quantity == 1


@pytest.mark.parametrize("field", ["total", "totalAmount", "price", "currency", "status", "paid"])
def test_what_a_client_says_of_the_price_is_refused(field):
    with pytest.raises(ValidationError):
        NewOrder.read({**WANTED, field: "0.01"})
