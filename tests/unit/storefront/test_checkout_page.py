"""The page of the checkout."""

import pytest
from flask import Flask

from services.storefront import cart, checkout
from services.storefront.settings import StorefrontSettings
from services.storefront.site import pages

LINE = {"name": "Lamp", "quantity": 1, "price": "20.00", "priceWas": None}
CART = {"id": "c", "items": [LINE], "total": "20.00", "currency": "EUR", "version": 3}


@pytest.mark.parametrize("provider", ["test", "stripe"])
def test_test_cards_are_offered_with_the_test_provider_alone(monkeypatch, provider):
    monkeypatch.setattr(cart, "read", lambda: CART)
    monkeypatch.setattr(checkout, "settings", lambda: StorefrontSettings(payment_provider=provider))
    with Flask("shop").test_request_context():
        page = checkout.checkout_page()
        shown = pages.templates.render(page.template, page.values)
    assert "€20.00" in shown
    is_test = provider == "test"
    assert ("tok_ok" in shown, "Order and pay" in shown, "cannot take cards yet" in shown) == (
        is_test,
        is_test,
        not is_test,
    )
