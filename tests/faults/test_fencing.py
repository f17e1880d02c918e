"""A process that sleeps past its lease and wakes up in the middle of a saga that another has taken over."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from chassis import clock
from tests import dump
from tests.faults.replica import Replica, child_pids, paused
from tests.faults.scenario import Scenario
from tests.system.platform import Client, eventually

SLEPT = "another driver has taken this saga over"
"""What the log says of a driver whose write was refused."""


def test_a_worker_that_slept_past_its_lease_writes_nothing_more(crash: Scenario, person: Client) -> None:
    product = crash.shop.product(stock=3)
    with Replica(crash.shop, "orders", "worker") as twin:
        with paused(crash.shop, "orders", twin.pid):  # so that the sleeper is the one who gets the saga
            crash.arm_crash("orders-web", "do place", "before")
            crash.arm_crash("orders-worker", "do take payment", "before", signal="HOLD")
            order = crash.place_order(person, product, quantity=2)
            crash.wait_until_fired("orders-worker")
        with overslept(crash, crash.shop.process("orders", "worker")["pid"]):
            assert crash.final_status(order) == "confirmed"
            before = eventually(lambda: ended(crash, order))
        eventually(lambda: SLEPT in crash.shop.log("orders-worker") or ended(crash, order) != before)
        assert ended(crash, order) == before
    crash.assert_consistent((order, "confirmed"))
    assert crash.shop.stock(product) == (1, 0, 2)


def test_a_web_that_slept_past_its_lease_writes_nothing_more(crash: Scenario, person: Client) -> None:
    product = crash.shop.product(stock=3)
    key, body = clock.new_id(), {"productId": product["id"], "quantity": 2}
    worker, web = (crash.shop.process("orders", kind)["pid"] for kind in ("worker", "web"))
    with Replica(crash.shop, "orders", "web") as twin, ThreadPoolExecutor(1) as pool:
        other = Client(twin.url, person.token, person.account)
        (sleeper,) = child_pids(web)
        with ExitStack() as nap:
            with paused(crash.shop, "orders", worker):  # so that nobody goes on before the repetition
                crash.arm_crash("orders-web", "do take payment", "before", signal="HOLD")
                first = pool.submit(crash.send_once, "order", key, lambda: person.post("/api/orders", body, key=key))
                crash.wait_until_fired("orders-web")
                nap.enter_context(overslept(crash, sleeper))
                order = eventually(lambda: _answered(crash, other, body, key))["id"]
            assert crash.final_status(order) == "confirmed"
            before = eventually(lambda: ended(crash, order))
        first.result(timeout=20)
        eventually(lambda: SLEPT in crash.shop.log("orders-web") or ended(crash, order) != before)
        assert ended(crash, order) == before
    crash.assert_consistent((order, "confirmed"))
    assert crash.shop.stock(product) == (1, 0, 2)


def _answered(crash: Scenario, buyer: Client, body: dict[str, Any], key: str) -> dict[str, Any] | None:
    answer = crash.send_once("order", key, lambda: buyer.post("/api/orders", body, key=key))
    return answer.json() if answer is not None and answer.status_code in (201, 202) else None


def ended(crash: Scenario, order: str) -> dict[str, Any] | None:
    """The saga of an order, once it has ended."""
    saga = dump.read_store(crash.shop.place, "orders", "sagas").docs("orders", "sagas").get(order)
    return saga if saga and not saga["open"] else None


@contextmanager
def overslept(crash: Scenario, pid: int) -> Iterator[None]:
    """A process of orders that is held at a point sleeps inside, and goes on from there afterwards."""
    with paused(crash.shop, "orders", pid):
        crash.disarm()
        yield
