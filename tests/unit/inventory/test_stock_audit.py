"""The stock agrees with the reservations wherever a handler is cut off; and what does not agree is named."""

import pytest

from chassis import clock
from chassis.audit import Finding
from chassis.store import StoreUnavailable
from services.inventory import application, domain, invariants, jobs, repository
from services.inventory.messages import (
    ConfirmStock,
    Line,
    ListReservations,
    Release,
    Reserve,
    StockProduct,
    GetReservations,
)
from tests.unit.conftest import crashes

LINES = [Line(product_id="mug", quantity=2), Line(product_id="pot", quantity=1)]


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    repository.stock.attach(store).ensure_indexes()
    repository.reservations.attach(store).ensure_indexes()
    for product in ("mug", "pot"):
        application.stock_product(StockProduct(product_id=product, quantity=1000))


def reserve(order):
    application.reserve(Reserve(order_id=order, lines=LINES))


def confirm(order):
    application.confirm(ConfirmStock(order_id=order))


def buy(order):
    reserve(order)
    confirm(order)


def give_up(order):
    reserve(order)
    application.release(Release(order_id=order))


def send_back(order):
    buy(order)
    application.release(Release(order_id=order))


def doubts():
    found = [*invariants.check_products(list(invariants.product_ids()))]
    ids = list(invariants.reservation_ids())
    return found + (list(invariants.check_reservations(ids)) if ids else [])


def found():
    return [doubt for doubt in doubts() if isinstance(doubt, Finding)]


def told():
    return {f"{each.invariant} {each.id} {each.detail}" for each in found()}


@pytest.mark.parametrize("work", [reserve, buy, give_up, send_back])
def test_wherever_work_is_cut_off_nothing_is_found_and_after_the_sweeps_all_is_seen(store, fake_clock, work):
    for _ in crashes(store, work):
        assert found() == []
        fake_clock.pass_time(jobs.ABANDONED_AFTER_S + 1)
        jobs.finish_reservations()
        assert doubts() == []


def test_a_late_hold_of_a_reservation_that_is_over_is_found_once_it_should_be_swept(fake_clock):
    give_up("o1")
    hold = {"quantity": 2, "stageVersion": 9, "at": clock.timestamp()}
    repository.stock.update("mug", {"$set": {"allocations.o1": hold}, "$inc": {"available": -2, "reserved": 2}})
    assert told() == set()
    fake_clock.pass_time(domain.ALLOCATIONS_KEPT_S + invariants.OVERDUE_AFTER_S + 1)
    assert told() == {"I4 mug allocates 2 units to order o1, whose reservation is released"}
    jobs.drop_old_allocations()
    assert told() == set()


def test_a_reservation_that_outlives_its_time_is_found_after_a_minute(fake_clock):
    reserve("o1")
    doc = repository.reservations.get("o1")
    fake_clock.pass_time(clock.seconds_since(doc["expiresAt"]) * -1 + invariants.OVERDUE_AFTER_S - 1)
    assert told() == set()
    fake_clock.pass_time(2)
    assert told() == {f"I4 o1 expired at {doc['expiresAt']} and is still reserved"}


def test_a_reservation_that_was_left_half_done_is_found_after_a_minute(store, fake_clock):
    store.fail(2, after=True)
    with pytest.raises(StoreUnavailable):
        reserve("o1")
    since = clock.timestamp()
    fake_clock.pass_time(invariants.OVERDUE_AFTER_S - 1)
    assert told() == set()
    fake_clock.pass_time(2)
    assert told() == {f"I4 o1 is reserving since {since}"}


def test_a_line_that_nothing_is_held_for_is_found():
    reserve("o1")
    repository.stock.update("pot", {"$unset": {"allocations.o1": True}, "$inc": {"available": 1, "reserved": -1}})
    assert told() == {"I4 o1 is reserved, but product pot does not allocate its units"}


def test_units_that_no_reservation_has_are_found():
    buy("o1")
    repository.stock.update("mug", {"$inc": {"available": -3, "sold": 3}})
    assert told() == {"I6 mug has 3 more units sold than its confirmed reservations"}


def test_a_product_that_is_never_still_is_said_to_be_unseen(monkeypatch):
    buy("o1")
    real = invariants._confirmed_units

    def while_it_sells(product):
        repository.stock.update("mug", {"$inc": {"seq": 1}})
        return real(product)

    monkeypatch.setattr(invariants, "_confirmed_units", while_it_sells)
    (unseen,) = doubts()
    assert (unseen.id, unseen.reason) == ("mug", "sells faster than its reservations can be counted")


def test_orders_are_told_how_their_reservations_stand():
    for order in ("o1", "o2"):
        buy(order)
    told = application.get_reservations(GetReservations(order_ids=["o2", "o3"]))
    assert [(each.order_id, each.status, each.lines) for each in told.items] == [("o2", "confirmed", LINES)]
    assert application.list_reservations(ListReservations(after="")).order_ids == ["o1", "o2"]
    assert application.list_reservations(ListReservations(after="o1")).order_ids == ["o2"]
    assert application.list_reservations(ListReservations(after="o2")).order_ids == []
