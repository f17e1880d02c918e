"""Stocks of an import: opened or set in a batch, each once, whatever dies or sells in between."""

import pytest

from chassis.events.envelope import Meta
from services.inventory import application, handlers, repository
from services.inventory.messages import ConfirmStock, Line, ProductQuantity, Reserve, StockProducts
from services.products.messages import ProductDeleted
from tests.unit.conftest import crashes


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    repository.stock.attach(store).ensure_indexes()
    repository.reservations.attach(store).ensure_indexes()


def stock_products(key="k1", replaces=True, **quantities):
    items = [ProductQuantity(product_id=id, quantity=quantity) for id, quantity in quantities.items()]
    reply = application.stock_products(StockProducts(items=items, replaces=replaces, dedup_key=key))
    return {level.product_id: level.available for level in reply.items}


def sell(order, product, quantity):
    application.reserve(Reserve(order_id=order, lines=[Line(product_id=product, quantity=quantity)]))
    application.confirm(ConfirmStock(order_id=order))


def units(product):
    doc = repository.stock.get(product)
    assert doc["available"] + doc["reserved"] + doc["sold"] == doc["received"]
    return doc["available"], doc["reserved"], doc["sold"]


def test_missing_stocks_are_opened_and_others_kept():
    assert stock_products(replaces=False, mug=5) == {"mug": 5}
    assert stock_products(replaces=False, mug=9, pot=3) == {"mug": 5, "pot": 3}
    assert repository.stock.get("mug")["seq"] == 1


def test_replacing_sets_the_available_units_and_keeps_those_that_are_reserved_or_sold():
    stock_products(replaces=False, mug=5)
    sell("o1", "mug", 2)
    application.reserve(Reserve(order_id="o2", lines=[Line(product_id="mug", quantity=1)]))
    assert stock_products(mug=10, pot=4) == {"mug": 10, "pot": 4}
    assert (units("mug"), units("pot")) == ((10, 1, 2), (4, 0, 0))


@pytest.mark.parametrize("replaces", [False, True])
def test_a_repeated_command_does_not_bring_back_a_unit_that_was_sold_meanwhile(replaces):
    """Neither where the first one opened the stock, nor where it found the same quantity."""
    stock_products("earlier", mug=5)
    stock_products("k1", replaces, mug=5, pot=5)
    sell("o1", "mug", 1)
    sell("o2", "pot", 1)
    stock_products("k1", replaces, mug=5, pot=5)
    assert (units("mug"), units("pot")) == ((4, 0, 1), (4, 0, 1))


def test_a_unit_sold_after_a_crash_behind_the_first_write_stays_sold(store):
    assert store.interrupts(lambda: stock_products("k1", mug=5), 1, True)
    sell("o1", "mug", 1)
    stock_products("k1", mug=5)
    assert units("mug") == (4, 0, 1)


def test_a_closed_stock_is_left_out_and_stays_closed():
    stock_products(mug=5, pot=5)
    handlers.on_product_deleted(
        ProductDeleted(product_id="mug"), Meta("mug:2", "products", "product.deleted", "", "", 2)
    )
    for replaces in (False, True):
        assert stock_products("k2", replaces, mug=7, pot=7).keys() == {"pot"}
    assert repository.stock.get("mug")["closed"] and units("mug") == (5, 0, 0)


def test_a_crash_at_any_write_and_a_repeat_give_the_same_stocks(store):
    def work(place):
        stock_products(place, **{f"mug-{place}": 5, "pot": 8, f"jug-{place}": 0})

    stock_products(pot=3)
    for place in crashes(store, work):
        work(place)
        assert [units(id) for id in (f"mug-{place}", "pot", f"jug-{place}")] == [(5, 0, 0), (8, 0, 0), (0, 0, 0)]
        stock_products(f"undo-{place}", pot=3)
