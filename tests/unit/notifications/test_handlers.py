"""Handlers of notifications: each event notifies once, however often and wherever it is handled."""

import pytest

from chassis.events.envelope import Meta
from services.notifications import handlers, repository
from services.orders.messages import OrderShipped
from tests.unit.conftest import crashes


@pytest.fixture(autouse=True)
def collections(store, fake_clock):
    repository.recipients.attach(store).ensure_indexes()
    repository.notifications.attach(store).ensure_indexes()
    repository.placed_orders.attach(store).ensure_indexes()


def ship(order):
    meta = Meta(f"{order}:3", "orders", "order.shipped", "", order, 3)
    handlers.on_order_event(OrderShipped(order_id=order, user_id="u1"), meta)


def notified(order):
    return [doc["kind"] for doc in repository.notifications.iterate() if order in doc["body"]]


def test_a_redelivered_event_notifies_once():
    for _ in range(3):
        ship("o1")
    assert notified("o1") == ["order_shipped"]


def test_a_redelivery_after_a_crash_at_any_write_notifies_once(store):
    for order in crashes(store, ship):
        ship(order)
        assert notified(order) == ["order_shipped"], order


def test_two_concurrent_deliveries_notify_once(monkeypatch):
    insert = repository.notifications.insert

    def another_process_is_first(notification):
        monkeypatch.undo()
        ship("o1")
        insert(notification)

    monkeypatch.setattr(repository.notifications, "insert", another_process_is_first)
    ship("o1")
    assert notified("o1") == ["order_shipped"]
