"""A guest's cart is merged into a user's cart once, wherever a request is interrupted or repeated."""

import pytest

from chassis import clock
from chassis.errors import InvalidInput, NotFound
from services.carts import application, domain, repository
from services.carts.repository import Access
from tests.unit.carts.conftest import USER, quantities
from tests.unit.conftest import crashes


def add(access, product, quantity):
    return application.add(access, product, quantity, clock.new_id())


def events(id):
    return [entry["type"] for entry in repository.carts.get(id)["outbox"]]


def test_merge_takes_the_larger_quantity_of_each_line(mine, guest):
    for product, own, theirs in (("a", 1, 3), ("b", 5, 2), ("c", 0, 4)):
        for access, quantity in ((mine, own), (guest.access, theirs)):
            if quantity:
                add(access, product, quantity)
    cart = application.merge(USER, guest.id, guest.token).doc
    assert quantities(mine) == {"a": 3, "b": 5, "c": 4}
    assert cart["merged"][guest.id]["lines"] == {"a": 3, "b": 2, "c": 4}
    assert events(USER) == ["cart.merged"]


def test_a_repeated_merge_changes_nothing_even_after_a_line_was_removed(mine, guest):
    add(guest.access, "a", 3)
    first = application.merge(USER, guest.id, guest.token).doc
    application.set_quantity(mine, "a", 0)
    again = application.merge(USER, guest.id, guest.token).doc
    assert quantities(mine) == {}
    assert again["merged"] == first["merged"]
    assert events(USER) == ["cart.merged"]


def test_a_merge_that_crashes_at_any_write_is_completed_once_by_its_repeat(store):
    carts = {}

    def work(user):
        cart, token = application.create_guest_cart()
        carts[user] = cart.doc["_id"], token
        add(Access.of_guest(*carts[user]), "a", 3)
        application.merge(user, *carts[user])

    for user in crashes(store, work):
        if user not in carts or not repository.carts.get(carts[user][0])["items"]:
            continue  # it crashed before there was anything to merge
        for _ in range(2):
            application.merge(user, *carts[user])
            assert quantities(Access.of_user(user)) == {"a": 3}
        application.set_quantity(Access.of_user(user), "a", 1)
        application.merge(user, *carts[user])
        assert quantities(Access.of_user(user)) == {"a": 1}
        assert events(user) == ["cart.merged"]


def test_a_merged_cart_takes_nothing_more_and_belongs_to_its_user(mine, guest):
    add(guest.access, "a", 1)
    application.merge(USER, guest.id, guest.token)
    for use in (application.read, lambda access: add(access, "b", 1), application.clear):
        with pytest.raises(NotFound):
            use(guest.access)
    for user, token in (("eve", guest.token), (USER, "wrong"), ("eve", "")):
        with pytest.raises(NotFound):
            application.merge(user, guest.id, token)
    assert quantities(mine) == {"a": 1}
    assert repository.carts.get("eve") is None


def test_a_users_cart_cannot_be_merged_by_anyone(mine):
    add(mine, "a", 1)
    for token in ("", "x", "d41d8cd98f00b204e9800998ecf8427e"):
        with pytest.raises(NotFound):
            application.merge("eve", USER, token)
    assert quantities(mine) == {"a": 1}


def test_lines_above_the_limit_are_left_out_and_named(mine, guest, products, monkeypatch):
    monkeypatch.setattr(domain, "MAX_LINES", 2)
    add(mine, "a", 1)
    add(guest.access, "b", 1)
    add(guest.access, "c", 1)
    with pytest.raises(InvalidInput):
        add(guest.access, "d", 1)
    merge = application.merge(USER, guest.id, guest.token).doc["merged"][guest.id]
    assert len(quantities(mine)) == 2
    assert merge["leftOut"] == sorted({"b", "c"} - quantities(mine).keys())


def test_a_merge_is_remembered_longer_than_the_guests_cart(mine, fake_clock):
    old, token = application.create_guest_cart()
    application.merge(USER, old.doc["_id"], token)
    fake_clock.pass_time(repository.GUEST_S + 2 * repository.DAY_S)
    repository.delete_expired()
    with pytest.raises(NotFound):
        application.merge(USER, old.doc["_id"], token)
    new, token = application.create_guest_cart()
    merged = application.merge(USER, new.doc["_id"], token).doc["merged"]
    assert merged.keys() == {new.doc["_id"]}


def test_too_many_merges_are_rejected_before_the_guests_cart_is_frozen(mine, guest, monkeypatch):
    monkeypatch.setattr(domain, "MAX_MERGES", 1)
    application.merge(USER, guest.id, guest.token)
    other, token = application.create_guest_cart()
    with pytest.raises(domain.TooManyMerges):
        application.merge(USER, other.doc["_id"], token)
    assert application.read(Access.of_guest(other.doc["_id"], token)).doc["mergedInto"] == ""
    application.merge(USER, guest.id, guest.token)
