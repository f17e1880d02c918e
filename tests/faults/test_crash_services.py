"""kill -9 of the services that a checkout asks, and of the workers that tell others what happened."""

import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from mercato.catalog import catalog
from services.inventory.domain import PENDING_STAGES
from tests import dump
from tests.faults.scenario import Scenario
from tests.system.platform import Client, eventually

CONCERNED = ("products", "inventory", "orders", "payments", "notifications")
"""Those that hear of an order; `users` consumes nothing, and other services need not care."""

DEATHS = [
    ("orders-web", "sagas.insert", "after"),
    ("orders-web", "streams.insert", "after"),
    ("orders-web", "idempotency.update", "before"),
    ("inventory-web", "reservations.insert", "after"),
    ("inventory-web", "stock.update", "before"),
    ("inventory-web", "stock.update", "after"),
    ("inventory-web", "reservations.update", "before"),
    ("inventory-web", "reservations.update", "after"),
    ("payments-web", "payments.insert", "after"),
    ("payments-web", "test_provider_ledger.update", "before"),
    ("payments-web", "test_provider_ledger.update", "after"),
    ("payments-web", "payments.update", "after"),
    ("inventory-worker", "stock.update", "after"),
    ("payments-worker", "test_provider_ledger.update", "after"),
    ("notifications-worker", "notifications.insert", "before"),
    ("notifications-worker", "notifications.insert", "after"),
    ("orders-worker", "publish", "before"),
    *((f"{service}-worker", "publish", "after") for service in ("users", *CONCERNED)),
    *((f"{service}-worker", "commit", "before") for service in CONCERNED),
]
"""In the order in which an order comes by."""


@pytest.mark.parametrize(("process", "point", "when"), DEATHS, ids=[" ".join(death) for death in DEATHS])
def test_every_event_is_taken_in_once_whoever_dies(
    crash: Scenario, person: Client, process: str, point: str, when: str
) -> None:
    crash.arm_crash(process, point, when)
    product = crash.shop.product(stock=10)
    buyer = crash.shop.shopper() if process == "users-worker" else person
    order = crash.place_order(buyer, product, quantity=2)
    assert crash.final_status(order) == "confirmed"
    answer = crash.retry_until_answered(lambda key: buyer.post(f"/api/orders/{order}/cancel", key=key), "cancel")
    assert answer.json()["status"] == "cancelled"
    crash.wait_until_fired(process)
    crash.assert_consistent((order, "cancelled"))
    assert crash.shop.stock(product) == (10, 0, 0)
    told = [line["kind"] for line in buyer.items("/api/notifications") if order in line["body"]]
    assert told == ["order_cancelled", "order_confirmed"]


def test_a_platform_loses_and_doubles_nothing_when_each_process_dies_under_load(
    crash: Scenario, person: Client
) -> None:
    products = [crash.shop.product(stock=20) for _ in range(3)]
    over = threading.Event()

    def buy(turn: int) -> None:
        mine = Client(person.url, person.token, person.account)
        while not over.is_set():
            token = "tok_declined" if turn % 5 == 4 else "tok_ok"
            crash.place_order(mine, products[turn % 3], timeout_s=60, paymentToken=token)
            turn += 1

    with ThreadPoolExecutor(3) as pool:
        buyers = [pool.submit(buy, turn) for turn in range(3)]
        try:
            for kind in ("worker", "web"):
                for name in catalog():
                    _kill(crash, name, kind)
        finally:
            over.set()
        for buyer in buyers:
            buyer.result()
    crash.assert_consistent()
    found = dump.read(crash.shop.place)
    statuses = Counter(doc["status"] for doc in found.docs("inventory", "reservations").values())
    assert not statuses.keys() & PENDING_STAGES
    assert [crash.shop.stock(product)[0] >= 0 for product in products] == [True] * 3


def _kill(crash: Scenario, name: str, kind: str) -> None:
    """Kill a process, and wait until there is another in its place."""
    victim = crash.shop.process(name, kind)["pid"]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: crash.shop.process(name, kind)["pid"] != victim)
