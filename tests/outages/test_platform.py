"""The platform during an outage: without Kafka it accepts orders; without MongoDB it fails fast and recovers."""

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

from mercato.catalog import processes
from tests import dump, engines
from tests.engines import Engine
from tests.faults.scenario import Scenario
from tests.sizes import by_form
from tests.system.platform import Client, Shop, eventually

ORDERS = by_form(90, 300)
KAFKA_OUTAGE_S, STORE_OUTAGE_S = by_form((15.0, 10.0), (60.0, 20.0))
DRAIN_S, RECOVERY_S = 60.0, 60.0
REJECTED_IN_S = 1.0
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
    pause = KAFKA_OUTAGE_S / each

    def buy(buyer: Client, has_begun: threading.Event) -> None:
        for number in range(each):
            scenario.send_once("order", "", lambda: buyer.order(product))
            if number == each // 10:
                has_begun.set()
            time.sleep(pause)  # so that each buyer orders beyond the end of the outage

    with buying(shop, buy) as wait_for_buyers:
        wait_for_buyers()
        shop.engines.kafka.kill()
        time.sleep(KAFKA_OUTAGE_S)  # the outage itself
    shop.engines.kafka.start()
    back = time.monotonic()
    eventually(lambda: is_drained(shop), DRAIN_S)
    drain_s = time.monotonic() - back
    statuses = Counter(line.get("status") for line in scenario.history)
    outcome = f"{dict(statuses)}; outboxes drained after {drain_s:.1f} s"
    print(f"\n{ORDERS} orders, {KAFKA_OUTAGE_S:.0f} s without Kafka: {outcome}")
    assert statuses[201] + statuses[202] == each * BUYERS
    scenario.assert_consistent()


def test_platform_without_store_fails_fast_and_recovers(scenario: Scenario) -> None:
    assert scenario.shop.engines
    mongodb = scenario.shop.engines.mongodb
    durations, recovery_s = interrupt(scenario, mongodb, mongodb.down, mongodb.start)
    report("stopped", durations, recovery_s)
    assert statistics.median(durations) <= REJECTED_IN_S


def test_hanging_store_delays_nobody_past_the_deadline(scenario: Scenario) -> None:
    assert scenario.shop.engines
    mongodb = scenario.shop.engines.mongodb
    durations, recovery_s = interrupt(scenario, mongodb, mongodb.pause, mongodb.resume)
    report("paused", durations, recovery_s)
    assert max(durations) <= 2 * DEADLINE
    _, *later = durations  # the first request waits: a silent server may be busy
    assert statistics.median(later) <= REJECTED_IN_S


def test_killed_store_keeps_acknowledged_writes(scenario: Scenario) -> None:
    shop, product = scenario.shop, scenario.shop.product(stock=10 * ORDERS)
    assert shop.engines
    over = threading.Event()

    def buy(buyer: Client, has_begun: threading.Event) -> None:
        has_begun.set()
        while not over.is_set():
            scenario.place_order(buyer, product, timeout_s=60)

    with buying(shop, buy) as wait_for_buyers:
        wait_for_buyers()
        for _ in range(3):
            before = len(scenario.history)
            eventually(lambda before=before: len(scenario.history) > before + 5)
            shop.engines.mongodb.kill()
            shop.engines.mongodb.start()
        over.set()
    scenario.assert_consistent()


@contextmanager
def buying(shop: Shop, buy: Callable[[Client, threading.Event], None]) -> Iterator[Callable[[], object]]:
    """Run buyers beside the block, and wait for them to end. Yields a function that waits until one has begun."""
    has_begun = threading.Event()
    buyers = [shop.shopper() for _ in range(BUYERS)]
    with ThreadPoolExecutor(BUYERS) as pool:
        ends: list[Future[None]] = [pool.submit(buy, buyer, has_begun) for buyer in buyers]
        yield lambda: has_begun.wait(60)
    for end in ends:
        end.result()


def is_drained(shop: Shop) -> bool:
    """Return whether no event is pending in any outbox."""
    stores = [dump.read_store(shop.place, name).stores[name] for name, kind in processes() if kind == "worker"]
    return not any(doc.get("pending") for store in stores for docs in store.values() for doc in docs.values())


def interrupt(
    scenario: Scenario, engine: Engine, stop: Callable[[], None], start: Callable[[], None]
) -> tuple[list[float], float]:
    """Return the seconds until each request failed during the outage, and until the platform recovered after it."""
    shop = scenario.shop
    buyer, product = shop.shopper(), shop.product(stock=100)
    before = [(process["pid"], process["restarts"]) for process in shop.run()["processes"]]
    actions: list[Callable[[], requests.Response]] = [
        lambda: buyer.get(f"/api/products/{product['id']}"),
        lambda: buyer.get("/api/orders"),
        lambda: buyer.order(product),
        lambda: buyer.put(f"/api/users/{buyer.id}", {"name": "Eve"}),
        lambda: buyer.get("/api/notifications"),
    ]
    turns = itertools.cycle(processes())
    durations = []
    stop()
    until = time.monotonic() + STORE_OUTAGE_S
    while time.monotonic() < until:
        for send in actions:
            started = time.monotonic()
            answer = send()
            durations.append(time.monotonic() - started)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["Retry-After"]) >= 1
        health = shop.health_url_of(*next(turns))
        assert requests.get(f"{health}/livez", timeout=20).status_code == 200
        assert requests.get(f"{health}/readyz", timeout=20).status_code == 503
    start()
    back = time.monotonic()
    eventually(lambda: shop.mercato("status").returncode == 0, RECOVERY_S)
    eventually(lambda: all(send().ok for send in actions), RECOVERY_S)
    recovery_s = time.monotonic() - back
    assert [(process["pid"], process["restarts"]) for process in shop.run()["processes"]] == before
    scenario.assert_consistent()
    return durations, recovery_s


def report(what: str, durations: list[float], recovery_s: float) -> None:
    p95 = statistics.quantiles(durations, n=20)[-1]
    times = f"p95 {p95:.2f} s, maximum {max(durations):.2f} s; recovered after {recovery_s:.1f} s"
    print(f"\nMongoDB {what}: {len(durations)} rejections, {times}")
