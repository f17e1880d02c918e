"""A thousand buyers, a hundred units."""

import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import dump
from tests.faults import checker
from tests.faults.scenario import Scenario
from tests.system.platform import Client, eventually

ORDERS, THREADS, UNITS, PRICE = 1000, 24, 100, 1000


@pytest.mark.timeout(300)
def test_a_thousand_orders_for_a_hundred_units_sell_exactly_a_hundred(
    steady: Scenario, capsys: pytest.CaptureFixture[str]
) -> None:
    buyer = steady.shop.shopper()
    product = steady.shop.product(stock=UNITS)
    over = threading.Event()
    with ThreadPoolExecutor(THREADS + 1) as pool:
        watched = pool.submit(_watch, steady, over)
        began = time.monotonic()
        turns = [pool.submit(_buy, steady, buyer, product["id"], range(n, ORDERS, THREADS)) for n in range(THREADS)]
        took = [seconds for turn in turns for seconds in turn.result()]
        answered = time.monotonic() - began
        over.set()
        reads = watched.result()
    statuses = Counter(line.get("status", 0) for line in steady.history)
    _wait_until_final(steady)
    ended = time.monotonic() - began
    with capsys.disabled():
        cuts = statistics.quantiles(took, n=100)
        print(
            f"\n{len(took)} orders answered in {answered:.1f} s, all final after {ended:.1f} s: {dict(statuses)}, "
            f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, {reads} reads of the stock between"
        )
    assert statuses.keys() <= {201, 202, 409, 503}
    assert statuses[503] <= len(took) * 0.02
    assert ended - answered <= 60
    steady.assert_consistent()
    assert steady.shop.stock(product) == (0, 0, UNITS)
    found = dump.read(steady.shop.place)
    orders = Counter(checker.fold(commits)["status"] for commits in checker.event_streams(found).values())
    assert orders["confirmed"] == UNITS
    assert orders.keys() == {"confirmed", "rejected"}
    ledger = found.docs("payments", "test_provider_ledger").values()
    assert Counter(entry["captured"] - entry["refunded"] for entry in ledger if entry["captured"]) == {PRICE: UNITS}


def _buy(scenario: Scenario, buyer: Client, product: str, turns: range) -> list[float]:
    """Buy one unit after another; the seconds that each answer took."""
    mine = Client(buyer.url, buyer.token, buyer.account)
    took = []
    for _ in turns:
        began = time.monotonic()
        scenario.send_once("order", "", lambda: mine.post("/api/orders", {"productId": product, "quantity": 1}))
        took.append(time.monotonic() - began)
    return took


def _watch(scenario: Scenario, over: threading.Event) -> int:
    """Read the stock again and again: not even for a moment may it be wrong. The number of reads."""
    reads = 0
    while not over.wait(0.1):
        assert not list(checker.check_stock(dump.read_store(scenario.shop.place, "inventory", "stock")))
        reads += 1
    return reads


def _wait_until_final(scenario: Scenario) -> None:
    def final() -> bool:
        found = dump.read_store(scenario.shop.place, "orders", "sagas")
        return not any(saga["open"] for saga in found.docs("orders", "sagas").values())

    eventually(final, 60)
