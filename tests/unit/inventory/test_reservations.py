"""Reservations: no unit is lost or sold twice, after a crash at any write and any number of repetitions."""

import pytest

from chassis.errors import NotFound
from chassis.events.envelope import Meta
from services.inventory import application, domain, handlers, jobs, repository
from services.inventory.messages import (
    AdjustStock,
    ConfirmStock,
    InsufficientStock,
    Line,
    Release,
    ReservationReleased,
    Reserve,
    StockProduct,
)
from services.orders.messages import OrderCancelled
from services.products.messages import ProductDeleted
from tests.unit.conftest import crashes

LINES = [Line(product_id="mug", quantity=2), Line(product_id="pot", quantity=1)]


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    repository.stock.attach(store).ensure_indexes()
    repository.reservations.attach(store).ensure_indexes()
    for product in ("mug", "pot"):
        application.stock_product(StockProduct(product_id=product, quantity=1000))


def units(product):
    doc = repository.stock.get(product)
    assert doc["available"] + doc["reserved"] + doc["sold"] == doc["received"]
    assert min(doc["available"], doc["reserved"], doc["sold"]) >= 0
    return doc["available"], doc["reserved"], doc["sold"]


def reserve(order, lines=LINES):
    application.reserve(Reserve(order_id=order, lines=lines))


def confirm(order):
    application.confirm(ConfirmStock(order_id=order))


def release(order):
    application.release(Release(order_id=order))


def run_jobs(fake_clock):
    fake_clock.pass_time(domain.ALLOCATIONS_KEPT_S + 1)
    jobs.finish_reservations()
    jobs.drop_old_allocations()


def test_reserve_holds_every_line_and_confirm_sells_them():
    reserve("o1")
    assert (units("mug"), units("pot")) == ((998, 2, 0), (999, 1, 0))
    confirm("o1")
    assert (units("mug"), units("pot")) == ((998, 0, 2), (999, 0, 1))


@pytest.mark.parametrize("again", [reserve, confirm, release])
def test_a_repeated_command_takes_effect_once(again):
    reserve("o1")
    confirm("o1")
    before = units("mug")
    if again is release:
        release("o1")
        before = (1000, 0, 0)
    for _ in range(3):
        if again is reserve:
            reserve("o1")
        else:
            again("o1")
    assert units("mug") == before


def test_reserve_rejects_all_lines_when_one_product_is_short():
    with pytest.raises(InsufficientStock) as refused:
        reserve("o1", [LINES[0], Line(product_id="pot", quantity=1001)])
    assert refused.value.extra == {"productId": "pot", "available": 1000}
    assert units("mug") == (1000, 0, 0)
    with pytest.raises(InsufficientStock):
        reserve("o1")


def test_reserve_is_rejected_after_a_release():
    release("o1")
    with pytest.raises(ReservationReleased):
        reserve("o1")
    assert units("mug") == (1000, 0, 0)


def test_confirm_reserves_an_expired_reservation_again(fake_clock):
    reserve("o1")
    fake_clock.pass_time(15 * 60 + 1)
    jobs.finish_reservations()
    assert units("mug") == (1000, 0, 0)
    confirm("o1")
    assert units("mug") == (998, 0, 2)


def test_confirm_wins_over_an_expiry_at_the_same_time(fake_clock, monkeypatch):
    reserve("o1")
    fake_clock.pass_time(15 * 60 + 1)
    move = repository.change_status

    def job_expires_it_first(doc, status, *rest, **fields):
        monkeypatch.undo()
        jobs.finish_reservations()
        return move(doc, status, *rest, **fields)

    monkeypatch.setattr(repository, "change_status", job_expires_it_first)
    confirm("o1")
    assert units("mug") == (998, 0, 2)


def test_confirm_is_rejected_when_expired_units_are_gone(fake_clock):
    reserve("o1", [Line(product_id="mug", quantity=600)])
    fake_clock.pass_time(15 * 60 + 1)
    jobs.finish_reservations()
    reserve("o2", [Line(product_id="mug", quantity=600)])
    with pytest.raises(InsufficientStock) as refused:
        confirm("o1")
    assert refused.value.kind == "insufficient_stock"
    assert units("mug") == (400, 600, 0)


def test_confirm_is_rejected_after_a_release(fake_clock):
    reserve("o1")
    fake_clock.pass_time(15 * 60 + 1)
    jobs.finish_reservations()
    release("o1")
    with pytest.raises(ReservationReleased):
        confirm("o1")
    assert units("mug") == (1000, 0, 0)


def test_a_deleted_product_rejects_only_new_reservations():
    reserve("o1")
    meta = Meta("mug:2", "products", "product.deleted", "", "mug", 2)
    handlers.on_product_deleted(ProductDeleted(product_id="mug"), meta)
    with pytest.raises(InsufficientStock):
        reserve("o2")
    confirm("o1")
    assert units("mug") == (998, 0, 2)


def test_a_canceled_order_returns_its_units_once(fake_clock):
    reserve("o1")
    confirm("o1")
    meta = Meta("o1:3", "orders", "order.cancelled", "", "o1", 3)
    for _ in range(3):
        handlers.on_order_cancelled(OrderCancelled(order_id="o1", user_id="u1", reason="cancelled"), meta)
        jobs.return_cancelled_units()
    assert (units("mug"), units("pot")) == ((1000, 0, 0), (1000, 0, 0))


def test_adjust_stock_applies_once_per_key_and_never_below_zero():
    for _ in range(3):
        answer = application.adjust_stock(AdjustStock(product_id="mug", adjustment=-400, dedup_key="m1"))
        assert answer.available == 600
    with pytest.raises(InsufficientStock):
        application.adjust_stock(AdjustStock(product_id="mug", adjustment=-601, dedup_key="m2"))
    with pytest.raises(NotFound):
        application.adjust_stock(AdjustStock(product_id="none", adjustment=1, dedup_key="m3"))
    assert units("mug") == (600, 0, 0)


def test_reserve_completes_on_retry_after_a_crash_at_any_write(store):
    for order in crashes(store, reserve):
        reserve(order)
        held = repository.stock.get("mug")["reserved"], repository.stock.get("pot")["reserved"]
        release(order)
        assert held == (2, 1), order
        assert units("mug")[:2] == (1000, 0)


def test_job_finishes_a_reserve_that_crashed_at_any_write(store, fake_clock):
    for order in crashes(store, reserve):
        fake_clock.pass_time(10)
        jobs.finish_reservations()
        doc = repository.reservations.get(order)
        assert doc is None or doc["status"] == "reserved", order
        assert units("mug")[1] == (2 if doc else 0), order
        release(order)
        assert units("mug") == (1000, 0, 0), order


def test_confirm_sells_once_on_retry_after_a_crash_at_any_write(store):
    sold = 0

    def work(order):
        store.fail(0, False)
        reserve(order)
        store.fail(store_at["at"], store_at["after"])
        confirm(order)

    store_at = {"at": 0, "after": False}
    for after in (False, True):
        for at in range(1, 20):
            store_at.update(at=at, after=after)
            order = f"{after}-{at}"
            try:
                work(order)
            except Exception:
                store.fail(0, False)
                confirm(order)
            store.fail(0, False)
            sold += 2
            assert units("mug") == (1000 - sold, 0, sold), order


def test_release_returns_once_on_retry_after_a_crash_at_any_write(store):
    for after in (False, True):
        for at in range(1, 20):
            order = f"{after}-{at}"
            reserve(order)
            confirm(order)
            store.fail(at, after)
            try:
                release(order)
            except Exception:
                store.fail(0, False)
                release(order)
            store.fail(0, False)
            assert units("mug") == (1000, 0, 0), order


def test_a_late_reserve_stage_after_a_release_holds_nothing():
    doc = repository.new_reservation("o1", LINES, "reserving")
    repository.reservations.insert(doc)
    release("o1")
    assert not any(repository.apply_stage(doc, line, domain.hold) for line in doc["lines"])
    assert units("mug") == (1000, 0, 0)


def test_job_releases_units_that_a_late_stage_took(fake_clock):
    lines = [Line(product_id="pot", quantity=1001), LINES[0]]
    asleep = repository.new_reservation("o1", lines, "reserving")
    with pytest.raises(InsufficientStock):
        reserve("o1", lines)
    assert repository.apply_stage(asleep, asleep["lines"][1], domain.hold)
    assert units("mug") == (998, 2, 0)
    run_jobs(fake_clock)
    assert units("mug") == (1000, 0, 0)


def test_a_late_return_stage_returns_nothing_again():
    reserve("o1")
    confirm("o1")
    returning = repository.change_status(repository.reservations.get("o1"), "returning")
    application.apply_pending_stages(returning)
    for line in returning["lines"]:
        assert not repository.apply_stage(returning, line, domain.return_sold)
    assert units("mug") == (1000, 0, 0)


def test_job_drops_finished_allocations_without_an_event(fake_clock):
    reserve("o1")
    confirm("o1")
    reserve("o2")
    before = repository.stock.get("mug")
    run_jobs(fake_clock)
    after = repository.stock.get("mug")
    assert (list(after["allocations"]), after["allocationCount"]) == (["o2"], 1)
    assert [after[name] for name in ("seq", "updatedAt")] == [before[name] for name in ("seq", "updatedAt")]
