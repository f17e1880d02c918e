"""The body of an order: it names products and quantities, and never a price."""

import pytest
from pydantic import ValidationError

from services.orders.api import NewOrder

BODY = {"productId": "P1", "quantity": 1}


def test_an_order_body_accepts_a_product_and_a_quantity():
    assert NewOrder.read(BODY).quantity == 1


@pytest.mark.parametrize("field", ["total", "totalAmount", "price", "currency", "status", "paid"])
def test_an_order_body_rejects_fields_that_the_server_sets(field):
    with pytest.raises(ValidationError):
        NewOrder.read({**BODY, field: "0.01"})
