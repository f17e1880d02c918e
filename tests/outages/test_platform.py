"""The platform while an engine is away: without the log orders go on; without the store it says so, and lives on."""

import itertools
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests

from mercato.catalog import catalog
from tests import dump, engines
from tests.engines import Engine
from tests.faults.scenario import Scenario
from tests.sizes import by_form
from tests.system.platform import Client, Shop, eventually

ORDERS = by_form(90, 300)
LOG_AWAY, STORE_AWAY = by_form((15.0, 10.0), (60.0, 20.0))
DRAINED, WELL = 60.0, 60.0
REFUSED_IN = 1.0
DEADLINE = 5.0
BUYERS = 3


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    platform = Shop(tmp_path_factory.mktemp("engines"), engines.pair(), RATE_LIMITS="off", LEASE="4")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture
def scenario(shop: Shop, request: pytest.FixtureRequest) -> Scenario:
    return Scenario(shop, request.node.name.replace("_", "-"))


@pytest.mark.timeout(600)
def test_orders_are_accepted_without_kafka(scenario: Scenario) -> None:
    shop, product = scenario.shop, scenario.shop.product(stock=10 * ORDERS)
    assert shop.engines
    each = ORDERS // BUYERS
    pause = LOG_AWAY / each

    def buy(buyer: Client, away: threading.Event) -> None:
        for number in range(each):
            scenario.send_once("order", "", lambda: buyer.order(product))
            if number == each // 10:
                away.set()
            time.sleep(pause)  # so that the orders of each buyer outlast the outage

    with buying(shop, buy) as begun:
        begun()
        shop.engines.kafka.kill()
        time.sleep(LOG_AWAY)  # the outage itself
    shop.engines.kafka.start()
    back = time.monotonic()
    eventually(lambda: drained(shop), DRAINED)
    took = time.monotonic() - back
    answers = Counter(line.get("status") for line in scenario.history)
    print(f"\n{ORDERS} orders, {LOG_AWAY:.0f} s without Kafka: {dict(answers)}; outboxes drained {took:.1f} s after")
    assert answers[201] + answers[202] == each * BUYERS
    scenario.assert_consistent()


def test_platform_without_store_fails_fast_and_recovers(
    scenario: Scenario,
) -> None:
    assert scenario.shop.engines
    mongodb = scenario.shop.engines.mongodb
    took, well = away(scenario, mongodb, mongodb.down, mongodb.start)
    say("stopped", took, well)
    assert statistics.median(took) <= REFUSED_IN


def test_hanging_store_delays_nobody_past_the_deadline(scenario: Scenario) -> None:
    assert scenario.shop.engines
    mongodb = scenario.shop.engines.mongodb
    took, well = away(scenario, mongodb, mongodb.pause, mongodb.resume)
    say("paused", took, well)
    assert max(took) <= 2 * DEADLINE
    _, *later = took  # the first is waited for: it might be busy
    assert statistics.median(later) <= REFUSED_IN


def test_killed_store_keeps_acknowledged_writes(scenario: Scenario) -> None:
    shop, product = scenario.shop, scenario.shop.product(stock=10 * ORDERS)
    assert shop.engines
    over = threading.Event()

    def buy(buyer: Client, away: threading.Event) -> None:
        away.set()
        while not over.is_set():
            scenario.place_order(buyer, product, timeout_s=60)

    with buying(shop, buy) as begun:
        begun()
        for _ in range(3):
            already = len(scenario.history)
            eventually(lambda already=already: len(scenario.history) > already + 5)
            shop.engines.mongodb.kill()
            shop.engines.mongodb.start()
        over.set()
    scenario.assert_consistent()


@contextmanager
def buying(shop: Shop, buy: Callable[[Client, threading.Event], None]) -> Iterator[Callable[[], object]]:
    """Buyers shop inside, and come to their end; what is yielded waits until one is well on the way."""
    away = threading.Event()
    buyers = [shop.shopper() for _ in range(BUYERS)]
    with ThreadPoolExecutor(BUYERS) as pool:
        ends: list[Future[None]] = [pool.submit(buy, buyer, away) for buyer in buyers]
        yield lambda: away.wait(60)
    for end in ends:
        end.result()


def drained(shop: Shop) -> bool:
    """Whether no event waits in any outbox."""
    stores = [dump.read_store(shop.place, name).stores[name] for name in catalog()]
    return not any(doc.get("pending") for store in stores for docs in store.values() for doc in docs.values())


def away(
    scenario: Scenario, engine: Engine, stop: Callable[[], None], start: Callable[[], None]
) -> tuple[list[float], float]:
    """The seconds in which requests were refused while the store was away, and until all was well afterwards."""
    shop = scenario.shop
    buyer, product = shop.shopper(), shop.product(stock=100)
    before = [(process["pid"], process["restarts"]) for process in shop.run()["processes"]]
    asks: list[Callable[[], requests.Response]] = [
        lambda: buyer.get(f"/api/products/{product['id']}"),
        lambda: buyer.get("/api/orders"),
        lambda: buyer.order(product),
        lambda: buyer.put(f"/api/users/{buyer.id}", {"name": "Eve"}),
        lambda: buyer.get("/api/notifications"),
    ]
    processes = itertools.cycle(itertools.product(catalog(), ("web", "worker")))
    took = []
    stop()
    until = time.monotonic() + STORE_AWAY
    while time.monotonic() < until:
        for ask in asks:
            began = time.monotonic()
            answer = ask()
            took.append(time.monotonic() - began)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1
        health = shop.health_url_of(*next(processes))
        assert requests.get(f"{health}/livez", timeout=20).status_code == 200
        assert requests.get(f"{health}/readyz", timeout=20).status_code == 503
    start()
    back = time.monotonic()
    eventually(lambda: shop.mercato("status").returncode == 0, WELL)
    eventually(lambda: all(ask().ok for ask in asks), WELL)
    well = time.monotonic() - back
    assert [(process["pid"], process["restarts"]) for process in shop.run()["processes"]] == before
    scenario.assert_consistent()
    return took, well


def say(what: str, took: list[float], well: float) -> None:
    most, p95 = max(took), statistics.quantiles(took, n=20)[-1]
    print(f"\nMongoDB {what}: {len(took)} refusals, p95 {p95:.2f} s, at most {most:.2f} s; all well {well:.1f} s after")
