"""A thousand orders for a hundred units."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import dump
from tests.faults import checker
from tests.faults.scenario import Scenario
from tests.system.platform import Client, eventually

ORDERS, THREADS, UNITS, PRICE = 1000, 24, 100, 1000
FINAL_TIMEOUT_S = 60.0
READ_INTERVAL_S = 0.1


@pytest.mark.timeout(600)
def test_thousand_orders_for_hundred_units_sell_exactly_hundred(steady: Scenario) -> None:
    buyer = steady.shop.shopper()
    product = steady.shop.product(stock=UNITS)
    stopped = threading.Event()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        watcher = pool.submit(_watch_stock, steady, stopped)
        turns = [pool.submit(_buy, steady, buyer, product["id"], range(n, ORDERS, THREADS)) for n in range(THREADS)]
        for turn in turns:
            turn.result()
        stopped.set()
        assert watcher.result() > 0
    statuses = Counter(each.get("status", 0) for each in steady.history)
    eventually(lambda: not _has_open_sagas(steady), FINAL_TIMEOUT_S)
    assert statuses.keys() <= {201, 202, 409, 503, 504}
    steady.assert_consistent()
    assert steady.shop.stock(product) == (0, 0, UNITS)
    found = dump.read(steady.shop.place)
    orders = Counter(checker.fold(commits)["status"] for commits in checker.event_streams(found).values())
    assert orders["confirmed"] == UNITS
    assert orders.keys() == {"confirmed", "rejected"}
    ledger = found.docs("payments", "test_provider_ledger").values()
    assert Counter(entry["captured"] - entry["refunded"] for entry in ledger if entry["captured"]) == {PRICE: UNITS}


def _buy(scenario: Scenario, buyer: Client, product: str, turns: range) -> None:
    """Buy one unit after another."""
    client = Client(buyer.url, buyer.token)
    client.account = buyer.account
    for _ in turns:
        scenario.send_once("order", "", lambda: client.post("/api/orders", {"productId": product, "quantity": 1}))


def _watch_stock(scenario: Scenario, stopped: threading.Event) -> int:
    """Check on every read that the stock counters add up; return the number of reads."""
    reads = 0
    while not stopped.wait(READ_INTERVAL_S):
        assert not list(checker.check_stock(dump.read_store(scenario.shop.place, "inventory", "stock")))
        reads += 1
    return reads


def _has_open_sagas(scenario: Scenario) -> bool:
    found = dump.read_store(scenario.shop.place, "orders", "sagas")
    return any(saga["open"] for saga in found.docs("orders", "sagas").values())
