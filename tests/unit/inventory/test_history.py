"""The history of a stock: each change once, with who, when and why, also when the stock keeps it no more."""

import pytest

from services.inventory import application, history, repository
from services.inventory.messages import AdjustStock, Line, Release, Reserve, StockProduct, StockProducts
from tests.unit.conftest import crashes

DAY_S = 24 * 3600.0


@pytest.fixture(autouse=True)
def stock(store, fake_clock):
    for collection in (repository.stock, repository.movements, repository.reservations):
        collection.attach(store).ensure_indexes()
    application.stock_product(StockProduct(product_id="mug", quantity=5, by="ada"))
    fake_clock.pass_time(1)


def adjust(change, key, by="ada", reason=""):
    application.adjust_stock(AdjustStock(product_id="mug", adjustment=change, dedup_key=key, by=by, reason=reason))


def entries(limit=100):
    found, after = [], None
    while True:
        page, after = history.page(repository.get_stock("mug"), limit, after)
        found += page
        if after is None:
            return found


def changes(limit=100):
    return [(each["kind"], each["change"], each["available"]) for each in entries(limit)]


def test_history_says_who_when_and_why(fake_clock):
    adjust(3, "k1", "bob", "delivery")
    adjust(3, "k1", "bob", "delivery")
    fake_clock.pass_time(1)
    items = [{"product_id": "mug", "quantity": 2}]
    application.stock_products(StockProducts(items=items, replaces=True, dedup_key="k2", by="eve"))
    found = entries()
    assert [(each["kind"], each["by"], each["reason"]) for each in found] == [
        ("set", "eve", ""),
        ("adjusted", "bob", "delivery"),
        ("opened", "ada", ""),
    ]
    assert changes() == [("set", -6, 2), ("adjusted", 3, 8), ("opened", 5, 5)]
    assert [each["at"] for each in found] == sorted((each["at"] for each in found), reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_have_each_change_once_wherever_it_is_stored(fake_clock, limit):
    expected = [("opened", 5, 5)]
    for day in range(4):
        for number in range(2):
            adjust(1, f"k{day}-{number}")
            fake_clock.pass_time(1)
            expected.append(("adjusted", 1, expected[-1][2] + 1))
        application.reserve(
            Reserve(order_id=f"{repository.clock.new_id()}", lines=[Line(product_id="mug", quantity=1)])
        )
        expected.append(("order", -1, expected[-1][2] - 1))
        fake_clock.pass_time(DAY_S + 1)
    shown = [(kind, change, None if kind == "order" else available) for kind, change, available in expected]
    assert changes(limit) == shown[::-1]
    assert repository.movements.count() == 7
    assert len(repository.get_stock("mug")["adjustments"]) == 2


def test_released_order_took_no_units():
    application.reserve(Reserve(order_id="order", lines=[Line(product_id="mug", quantity=2)]))
    application.release(Release(order_id="order"))
    application.reserve(Reserve(order_id="later", lines=[Line(product_id="mug", quantity=1)]))
    orders = {each["id"]: (each["change"], each["reason"]) for each in entries() if each["kind"] == "order"}
    assert orders == {"order": (0, "released"), "later": (-1, "reserved")}


def test_no_change_is_lost_or_doubled_by_a_crash(store, fake_clock):
    adjust(1, "first")
    fake_clock.pass_time(DAY_S + 1)
    before = len(entries())
    for number, place in enumerate(crashes(store, lambda place: adjust(1, place)), start=1):
        adjust(1, place)
        found = changes()
        assert len(found) == before + number
        assert [available for _, _, available in found] == list(range(len(found) + 4, 4, -1))
        fake_clock.pass_time(DAY_S + 1)


def test_adjustments_of_release_0_2_0_are_left_out_and_still_recognized():
    old = {"dedupKey": "old", "at": repository.clock.timestamp(), "available": 5, "sequence": 1}
    repository.stock.update("mug", {"$push": {"adjustments": old}})
    adjust(1, "old")
    assert changes() == [("opened", 5, 5)]
