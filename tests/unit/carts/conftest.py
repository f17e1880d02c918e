"""Carts in a store of their own, and the products that they are of."""

from types import SimpleNamespace

import pytest

from chassis import calls
from chassis.errors import NotAttempted
from services.carts import application, repository
from services.carts.repository import Access
from services.products.messages import PricedItem, PriceItems

USER = "ada"


@pytest.fixture(autouse=True)
def attached(store, fake_clock):
    repository.carts.attach(store).ensure_indexes()


@pytest.fixture(autouse=True)
def products(monkeypatch):
    """The products of the shop: `found` by id, `away` for a service that does not answer, `asked` counts the calls."""
    found = {id: PricedItem(product_id=id, name=id.title(), price=1000, currency="EUR", stock=10) for id in "abcdefgh"}
    catalog = SimpleNamespace(found=found, away=False, asked=0)

    def reply(command, attempts):
        assert isinstance(command, PriceItems)
        catalog.asked += 1
        if catalog.away:
            raise NotAttempted("products is away")
        return PriceItems.Reply(items=[found[id] for id in command.product_ids if id in found])

    monkeypatch.setattr(calls, "send", reply)
    return catalog


@pytest.fixture
def mine():
    """The cart of a user."""
    return Access.of_user(USER)


@pytest.fixture
def guest():
    """A new cart of a guest; its `token` gives access to it."""
    cart, token = application.create_guest_cart()
    return SimpleNamespace(id=cart.doc["_id"], token=token, access=Access.of_guest(cart.doc["_id"], token))


def quantities(access):
    """Return what is stored: product -> quantity; the counter of lines must agree."""
    cart = repository.carts.get(access.cart_id)
    assert cart["lines"] == len(cart["items"])
    return {product: line["quantity"] for product, line in cart["items"].items()}
