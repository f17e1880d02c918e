"""Carts: lines are added, changed and taken out once, within the limits, and shown at present prices."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import clock
from chassis.errors import InvalidInput, NotAttempted, NotFound, VersionConflict
from services.carts import application, domain, repository
from services.carts.messages import CartChanged, GetCart
from services.carts.repository import Access
from services.products.messages import PricedItem
from tests.unit.carts.conftest import USER, quantities
from tests.unit.conftest import crashes


def add(access, product="a", quantity=1, key=""):
    return application.add(access, product, quantity, key or clock.new_id())


def test_add_with_the_same_key_adds_once_after_a_crash_at_any_write(store):
    for user in crashes(store, lambda user: add(Access.of_user(user), "a", 2, "k")):
        add(Access.of_user(user), "a", 2, "k")
        add(Access.of_user(user), "a", 2, "k")
        assert quantities(Access.of_user(user)) == {"a": 2}, user
        add(Access.of_user(user), "a", 3, "other")
        assert quantities(Access.of_user(user)) == {"a": 5}


def test_limits_reject_an_add_and_change_nothing(mine, products):
    add(mine, "a", 98)
    with pytest.raises(InvalidInput):
        add(mine, "a", 2)
    add(mine, "a", 1)
    assert quantities(mine) == {"a": 99}
    many = [f"p{number}" for number in range(domain.MAX_LINES)]
    products.found |= {id: products.found["a"].model_copy(update={"product_id": id}) for id in many}
    for id in many[:-1]:
        add(mine, id)
    for attempt in (lambda: add(mine, many[-1]), lambda: application.set_quantity(mine, many[-1], 1)):
        with pytest.raises(InvalidInput):
            attempt()
    add(mine, many[0], 5)
    assert len(quantities(mine)) == domain.MAX_LINES
    assert many[-1] not in quantities(mine)


def test_an_unknown_product_is_rejected_and_leaves_no_line(mine):
    with pytest.raises(InvalidInput):
        add(mine, "nothing")
    assert repository.carts.get(USER) is None


def test_quantity_is_set_and_zero_takes_the_line_out(mine):
    application.set_quantity(mine, "a", 3)
    application.set_quantity(mine, "b", 1)
    assert quantities(mine) == {"a": 3, "b": 1}
    version = application.set_quantity(mine, "a", 0).doc["version"]
    assert quantities(mine) == {"b": 1}
    assert application.set_quantity(mine, "a", 0).doc["version"] == version, "nothing changed"


def test_a_change_with_another_version_is_rejected(mine):
    cart = add(mine).doc
    add(mine, "b")
    stale, present = frozenset({cart["version"]}), frozenset({cart["version"] + 1})
    for change in (
        lambda version: application.set_quantity(mine, "a", 9, version),
        lambda version: application.set_quantity(mine, "c", 9, version),
        lambda version: application.clear(mine, version),
    ):
        with pytest.raises(VersionConflict):
            change(stale)
    assert quantities(mine) == {"a": 1, "b": 1}
    application.clear(mine, present)
    assert quantities(mine) == {}


def test_only_the_token_gives_access_to_a_guests_cart(guest, fake_clock):
    add(guest.access, "a", 2)
    for other in (Access.of_guest(guest.id, ""), Access.of_guest(guest.id, "x")):
        for use in (application.read, add, application.clear, lambda who: application.set_quantity(who, "a", 0)):
            with pytest.raises(NotFound):
                use(other)
    assert quantities(guest.access) == {"a": 2}
    assert guest.token not in str(repository.carts.get(guest.id))
    fake_clock.pass_time(repository.GUEST_S + 1)
    with pytest.raises(NotFound):
        application.read(Access.of_guest(guest.id, guest.token))


def test_a_read_shows_present_prices_and_never_the_exact_stock(mine, products):
    add(mine, "a", 3)
    add(mine, "b", 6)
    add(mine, "c", 1)
    add(mine, "d", 1)
    products.found["a"] = products.found["a"].model_copy(update={"price": 1250})
    products.found["b"] = products.found["b"].model_copy(update={"stock": 4})
    products.found["c"] = products.found["c"].model_copy(update={"stock": 0})
    del products.found["d"]
    asked = products.asked
    lines = {line.product_id: line for line in application.read(mine).lines}
    assert products.asked == asked + 1
    assert (lines["a"].price, lines["a"].price_was, lines["a"].stock, lines["a"].problems) == (
        "12.50",
        "10.00",
        "in",
        [],
    )
    assert (lines["b"].stock, lines["b"].problems) == ("low", ["insufficient_stock"])
    assert (lines["c"].stock, lines["c"].problems) == ("out", ["out_of_stock"])
    assert (lines["d"].price, lines["d"].stock, lines["d"].problems) == ("10.00", None, ["unavailable"])
    assert domain.total([*lines.values()]) == ("107.50", "EUR"), "without the line that cannot be ordered"
    assert domain.problems([*lines.values()]) == ["unavailable", "out_of_stock", "insufficient_stock"]


def test_kept_prices_are_shown_and_marked_while_products_is_away(mine, products):
    add(mine, "a", 3)
    products.away = True
    (line,) = application.read(mine).lines
    assert (line.name, line.price, line.stock, line.problems) == ("A", "10.00", None, ["price_not_current"])
    add(mine, "a", 1)
    application.set_quantity(mine, "a", 5)
    with pytest.raises(NotAttempted):
        add(mine, "b")
    assert quantities(mine) == {"a": 5}


def test_products_of_several_currencies_are_a_problem_and_have_no_total(mine, products):
    products.found["b"] = PricedItem(product_id="b", name="B", price=5, currency="USD", stock=9)
    add(mine, "a")
    lines = add(mine, "b").lines
    assert (domain.total(lines), domain.problems(lines)) == (None, ["several_currencies"])


def test_get_cart_gives_the_lines_of_its_owner_in_this_version_alone(mine, guest):
    version = add(mine, "b", 2).doc["version"]
    version = add(mine, "a", 1).doc["version"]
    reply = application.get_cart(GetCart(user_id=USER, cart_id=USER, version=version))
    assert sorted((line.product_id, line.quantity) for line in reply.lines) == [("a", 1), ("b", 2)]
    with pytest.raises(CartChanged):
        application.get_cart(GetCart(user_id=USER, cart_id=USER, version=version - 1))
    for user, cart in (("eve", USER), (USER, guest.id), ("eve", guest.id)):
        with pytest.raises(NotFound):
            application.get_cart(GetCart(user_id=user, cart_id=cart, version=version))


LINES = st.dictionaries(
    st.integers(0, 70).map(str), st.integers(1, 99).map(lambda units: {"quantity": units, "addedAt": ""}), max_size=50
)


@given(LINES, LINES)
def test_a_merge_keeps_the_larger_quantity_and_loses_no_own_line(own, guest):
    changed = domain.merged(own, guest)
    after = {**own, **changed}
    assert len(after) <= domain.MAX_LINES
    for product, line in after.items():
        both = [lines[product]["quantity"] for lines in (own, guest) if product in lines]
        assert line["quantity"] == max(both)
    assert len(after) == min(domain.MAX_LINES, len(own.keys() | guest.keys()))
    assert not domain.merged(after, guest) or len(own.keys() | guest.keys()) > domain.MAX_LINES


@given(LINES, st.dictionaries(st.integers(0, 70).map(str), st.integers(1, 200)))
def test_an_order_takes_out_what_was_ordered_and_nothing_else(lines, ordered):
    left = domain.left_after_order(lines, ordered)
    assert left.keys() == lines.keys() & ordered.keys()
    assert all(left[product] == max(0, lines[product]["quantity"] - ordered[product]) for product in left)
