"""Many requests at once change one cart, and none of them is lost."""

from concurrent.futures import ThreadPoolExecutor

from chassis import clock
from services.carts import application
from tests.unit.carts.conftest import quantities


def test_fifty_concurrent_adds_give_the_exact_sum(mine):
    def add(_):
        application.add(mine, "a", 1, clock.new_id())

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(add, range(50)))
    assert quantities(mine) == {"a": 50}


def test_concurrent_merges_apply_a_cart_once(mine, guest):
    application.add(guest.access, "a", 2, "k")

    def merge(_):
        return application.merge(mine.user_id, guest.id, guest.token).doc

    with ThreadPoolExecutor(10) as pool:
        docs = list(pool.map(merge, range(10)))
    assert {doc["seq"] for doc in docs} == {1}
    assert quantities(mine) == {"a": 2}
