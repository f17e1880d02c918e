"""An event is told once, however often it comes, wherever its handling is cut off, and whoever handles it meanwhile."""

import pytest

from chassis.events.envelope import Meta
from services.notifications import handlers, repository
from services.orders.messages import OrderShipped
from tests.unit.conftest import crashes


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    repository.recipients.attach(store).ensure_indexes()
    repository.notifications.attach(store).ensure_indexes()


def tell(order):
    meta = Meta(f"{order}:3", "orders", "order.shipped", "", order, 3)
    handlers.on_order_event(OrderShipped(order_id=order, user_id="u1"), meta)


def told(order):
    return [doc["kind"] for doc in repository.notifications.iterate() if order in doc["body"]]


def test_an_event_that_comes_again_is_told_once():
    for _ in range(3):
        tell("o1")
    assert told("o1") == ["order_shipped"]


def test_an_event_cut_off_anywhere_is_told_once_when_it_comes_again(store):
    for order in crashes(store, tell):
        tell(order)
        assert told(order) == ["order_shipped"], order


def test_two_that_handle_an_event_at_once_tell_it_once(monkeypatch):
    look = repository.recipients.get

    def another_is_faster(user):
        monkeypatch.undo()
        tell("o1")
        return look(user)

    monkeypatch.setattr(repository.recipients, "get", another_is_faster)
    tell("o1")
    assert told("o1") == ["order_shipped"]
