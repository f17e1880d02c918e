"""Events of orders and users: what was ordered leaves the cart once, and a deleted user's cart is erased."""

from itertools import permutations

import pytest

from chassis import clock
from chassis.errors import NotFound
from chassis.events.envelope import Meta
from chassis.settings import settings
from services.carts import application, handlers, jobs, repository
from services.carts.repository import DAY_S, IDLE_S, Access
from services.orders.messages import OrderCancelled, OrderConfirmed, OrderItem, OrderPlaced, OrderRejected
from services.users.messages import UserDeleted
from tests.unit.carts.conftest import USER, quantities
from tests.unit.conftest import crashes


def add(access, product, quantity):
    return application.add(access, product, quantity, clock.new_id())


def placed(order, cart_id=USER, user=USER, **units):
    items = [OrderItem(product_id=id, name=id, quantity=quantity, price="1.00") for id, quantity in units.items()]
    return OrderPlaced(order_id=order, user_id=user, items=items, total_amount="1", currency="EUR", cart_id=cart_id)


def confirmed(order, user=USER):
    return OrderConfirmed(order_id=order, user_id=user, payment_id="p")


def rejected(order):
    return OrderRejected(order_id=order, user_id=USER, reason="payment_declined")


def cancelled(order):
    return OrderCancelled(order_id=order, user_id=USER, reason="cancelled")


def handle(*events):
    for event in events:
        handler = {
            OrderPlaced: handlers.on_order_placed,
            OrderConfirmed: handlers.on_order_confirmed,
            OrderRejected: handlers.on_order_not_confirmed,
            OrderCancelled: handlers.on_order_not_confirmed,
            UserDeleted: handlers.on_user_deleted,
        }[type(event)]
        handler(event, Meta(id="", type=event.type, source="orders", sequence=1, time="", subject=event.subject))


def states():
    return {order: mark["state"] for order, mark in repository.carts.get(USER)["orders"].items()}


def test_a_confirmed_order_takes_out_exactly_what_was_ordered(mine):
    add(mine, "a", 3)
    add(mine, "b", 2)
    before = repository.carts.get(USER)["version"]
    handle(placed("o1", a=3, b=2))
    assert repository.carts.get(USER)["version"] == before, "a mark changes no line"
    add(mine, "a", 1)
    add(mine, "c", 1)
    handle(confirmed("o1"))
    assert quantities(mine) == {"a": 1, "c": 1}
    mark = repository.carts.get(USER)["orders"]["o1"]
    assert (mark["state"], "lines" in mark) == ("subtracted", False)


@pytest.mark.parametrize("end", [rejected, cancelled])
def test_an_order_that_is_not_confirmed_leaves_the_cart_as_it_is(mine, end):
    add(mine, "a", 3)
    handle(placed("o1", a=3), end("o1"), confirmed("o1"))
    assert (quantities(mine), states()) == ({"a": 3}, {"o1": "dropped"})


def test_replaying_all_events_of_orders_twice_changes_no_cart(mine):
    add(mine, "a", 9)
    orders = {
        "o1": [placed("o1", a=2), confirmed("o1"), cancelled("o1")],
        "o2": [placed("o2", a=3), rejected("o2")],
        "o3": [placed("o3", a=1), confirmed("o3")],
    }
    for history in orders.values():
        handle(*history)
    cart = repository.carts.get(USER)
    assert quantities(mine) == {"a": 6}
    for order in permutations(orders):
        for _ in range(2):
            handle(*(event for each in order for event in orders[each]))
            assert repository.carts.get(USER) == cart


def test_an_order_without_this_cart_changes_nothing(mine):
    add(mine, "a", 3)
    handle(placed("o1", cart_id=None, a=3), confirmed("o1"), placed("o2", cart_id="other", a=3), confirmed("o2"))
    handle(placed("o3", cart_id="eve", user="eve", a=3), confirmed("o3", user="eve"))
    assert (quantities(mine), states()) == ({"a": 3}, {})
    assert repository.carts.get("eve") is None


def test_a_crash_at_any_write_subtracts_once(store):
    def order(user):
        handle(placed("o1", cart_id=user, user=user, a=2), confirmed("o1", user=user))

    def prepare_and_order(user):
        add(Access.of_user(user), "a", 5)
        order(user)

    for user in crashes(store, prepare_and_order):
        cart = repository.carts.get(user)
        if cart and cart["items"]:
            order(user)
            order(user)
            assert quantities(Access.of_user(user)) == {"a": 3}


def test_an_ended_order_is_forgotten_only_when_the_bus_has_no_record_of_it(mine, fake_clock):
    add(mine, "a", 9)
    handle(placed("old", a=1), confirmed("old"), placed("open", a=1))
    fake_clock.pass_time(settings().retention + DAY_S / 2)
    handle(placed("o2", a=1), placed("old", a=1), confirmed("old"))
    assert states() == {"old": "subtracted", "open": "marked", "o2": "marked"}
    fake_clock.pass_time(DAY_S)
    handle(placed("o3", a=1))
    assert states() == {"open": "marked", "o2": "marked", "o3": "marked"}
    assert quantities(mine) == {"a": 8}


def test_an_idle_cart_of_a_user_is_published_as_abandoned_once(mine, guest, fake_clock):
    add(mine, "a", 2)
    add(guest.access, "a", 2)
    add(Access.of_user("eve"), "a", 1)
    fake_clock.pass_time(IDLE_S / 2)
    add(mine, "b", 1)
    application.clear(Access.of_user("eve"))
    fake_clock.pass_time(IDLE_S / 2 + 1)
    jobs.publish_abandoned()
    assert repository.carts.get(USER)["outbox"] == []
    fake_clock.pass_time(IDLE_S)
    for _ in range(2):
        jobs.publish_abandoned()
        (entry,) = repository.carts.get(USER)["outbox"]
    assert entry["type"] == "cart.abandoned"
    items = [{"productId": "a", "name": "A", "quantity": 2}, {"productId": "b", "name": "B", "quantity": 1}]
    assert entry["data"] == {"cartId": USER, "userId": USER, "items": items}
    assert [repository.carts.get(id)["outbox"] for id in ("eve", guest.id)] == [[], []]


def test_expired_carts_are_deleted_but_not_with_pending_events(mine, guest, fake_clock):
    add(mine, "a", 1)
    empty, _ = application.create_guest_cart()
    add(guest.access, "a", 1)
    fake_clock.pass_time(DAY_S + 1)
    repository.delete_expired()
    assert [repository.carts.get(id) is None for id in (empty.doc["_id"], guest.id, USER)] == [True, False, False]
    jobs.publish_abandoned()
    fake_clock.pass_time(repository.USER_S)
    repository.delete_expired()
    assert [repository.carts.get(id) is None for id in (guest.id, USER)] == [True, False], "an event is pending"
    repository.carts.update(USER, {"$set": {"pending": 0, "outbox": []}})
    repository.delete_expired()
    assert repository.carts.get(USER) is None


@pytest.mark.parametrize("has_cart", [True, False])
def test_a_deleted_user_leaves_a_tombstone_without_personal_data(mine, guest, has_cart):
    if has_cart:
        add(mine, "a", 1)
        add(guest.access, "b", 1)
        application.merge(USER, guest.id, guest.token)
        handle(placed("o1", a=1))
    for _ in range(2):
        handle(UserDeleted(user_id=USER))
        handle(placed("o2", a=1), confirmed("o2"), confirmed("o1"))
        cart = repository.carts.get(USER)
        assert (cart["items"], cart["orders"], cart["merged"], "abandonAt" in cart) == ({}, {}, {}, False)
        assert repository.carts.get(guest.id) is None or not has_cart
        for use in (application.read, lambda access: add(access, "a", 1)):
            with pytest.raises(NotFound):
                use(mine)
