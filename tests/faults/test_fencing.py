"""A process that is paused for longer than its lease, in the middle of a saga that another process then takes over."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from chassis import clock
from tests import dump
from tests.faults.replica import Replica, child_pids, paused
from tests.faults.scenario import Scenario
from tests.system.platform import Client, eventually

FENCED = "saga claimed by another driver"
"""What a driver logs when its write is rejected."""
TIMEOUT_S = 60.0


def test_worker_that_resumes_after_its_lease_changes_nothing(crash: Scenario, person: Client) -> None:
    product = crash.shop.product(stock=3)
    with Replica(crash.shop, "orders", "worker") as replica:
        with paused(crash.shop, "orders", replica.pid):  # so that the worker to be paused gets the saga
            crash.arm_crash("orders-web", "do place", "before")
            crash.arm_crash("orders-worker", "do take payment", "before", signal="HOLD")
            order = crash.place_order(person, product, quantity=2)
            crash.wait_until_fired("orders-worker", TIMEOUT_S)
        with paused_at_crash_point(crash, crash.shop.process("orders", "worker")["pid"]):
            assert crash.final_status(order) == "confirmed"
            before = eventually(lambda: ended_saga(crash, order), TIMEOUT_S)
        eventually(lambda: FENCED in crash.shop.log("orders-worker") or ended_saga(crash, order) != before, TIMEOUT_S)
        assert ended_saga(crash, order) == before
    crash.assert_consistent((order, "confirmed"))
    assert crash.shop.stock(product) == (1, 0, 2)


def test_web_process_that_resumes_after_its_lease_changes_nothing(crash: Scenario, person: Client) -> None:
    product = crash.shop.product(stock=3)
    key, body = clock.new_id(), {"productId": product["id"], "quantity": 2}
    worker, web = (crash.shop.process("orders", kind)["pid"] for kind in ("worker", "web"))
    with Replica(crash.shop, "orders", "web") as replica, ThreadPoolExecutor(1) as pool:
        other = Client(replica.url, person.token)
        other.account = person.account
        (victim,) = child_pids(web)
        with ExitStack() as pause:
            with paused(crash.shop, "orders", worker):  # so that the worker does not continue before the retry
                crash.arm_crash("orders-web", "do take payment", "before", signal="HOLD")
                first = pool.submit(crash.send_once, "order", key, lambda: person.post("/api/orders", body, key=key))
                crash.wait_until_fired("orders-web", TIMEOUT_S)
                pause.enter_context(paused_at_crash_point(crash, victim))
                order = eventually(lambda: _accepted(crash, other, body, key), TIMEOUT_S)["id"]
            assert crash.final_status(order) == "confirmed"
            before = eventually(lambda: ended_saga(crash, order), TIMEOUT_S)
        first.result(timeout=TIMEOUT_S)
        eventually(lambda: FENCED in crash.shop.log("orders-web") or ended_saga(crash, order) != before, TIMEOUT_S)
        assert ended_saga(crash, order) == before
    crash.assert_consistent((order, "confirmed"))
    assert crash.shop.stock(product) == (1, 0, 2)


def _accepted(crash: Scenario, buyer: Client, body: dict[str, Any], key: str) -> dict[str, Any] | None:
    response = crash.send_once("order", key, lambda: buyer.post("/api/orders", body, key=key))
    return response.json() if response is not None and response.status_code in (201, 202) else None


def ended_saga(crash: Scenario, order: str) -> dict[str, Any] | None:
    """Return the saga of an order, None if it has not ended."""
    saga = dump.read_store(crash.shop.place, "orders", "sagas").docs("orders", "sagas").get(order)
    return saga if saga and not saga["open"] else None


@contextmanager
def paused_at_crash_point(crash: Scenario, pid: int) -> Iterator[None]:
    """Pause a process of `orders` that is held at a crash point; afterward it goes on from there."""
    with paused(crash.shop, "orders", pid):
        crash.disarm()
        yield
