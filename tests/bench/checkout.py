"""Overhead of a checkout: its time compared to that of the same number of bare requests, reads and synced writes.

A platform of its own counts those operations, so that counting does not slow down the measured one.
"""

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import requests

from chassis import clock
from chassis.store import Collection
from chassis.store.sqlite.store import SqliteStore
from tests.bench.toy import serving
from tests.system.platform import Shop, expect
from tests.system.running import ROOT

Work = Counter[str]

INJECT = Path(__file__).parent / "inject"
PRODUCTS = 20  # so that no stock document holds the marks of all orders
COUNTED_ORDERS = 10
WARM_UP_ORDERS = 10
_BODY = {"productId": "p" * 26, "quantity": 1}


def run(short: bool) -> list[dict[str, Any]]:
    """Measure checkouts one after another, each followed by its bare work."""
    rounds = 60 if short else 300
    with tempfile.TemporaryDirectory() as folder:
        work = _count_work(Path(folder))
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        checkout = stack.enter_context(_checkouts(Path(folder), {}))[1]
        bare = stack.enter_context(_bare(Path(folder), work))
        for _ in range(WARM_UP_ORDERS):
            checkout()
            bare()
        pairs = [(_time(checkout), _time(bare)) for _ in range(rounds)]
    took, own = (statistics.median(times) for times in zip(*pairs, strict=True))
    writes, reads = (sum(work[name] for name in names) for names in (("insert", "update", "delete"), ("get", "find")))
    return [
        {"name": "checkout", "value": took * 1000, "unit": "ms"},
        {"name": "the same work, bare", "value": own * 1000, "unit": "ms"},
        {"name": "its requests", "value": work["exchange"], "unit": ""},
        {"name": "its synced writes", "value": writes, "unit": ""},
        {"name": "its reads", "value": reads, "unit": ""},
        {"name": "checkout / its work", "value": took / own, "unit": ""},
    ]


def _count_work(folder: Path) -> Work:
    """Return the store operations and requests of one checkout."""
    paths = os.pathsep.join((str(INJECT), str(ROOT)))
    with _checkouts(folder, {"PYTHONPATH": paths}) as (shop, checkout):
        for _ in range(WARM_UP_ORDERS):
            checkout()
        before = _work(shop)
        for _ in range(COUNTED_ORDERS):
            checkout()
        work = Counter({name: round(number / COUNTED_ORDERS) for name, number in (_work(shop) - before).items()})
    work["exchange"] += 2  # from the client to the router, and on to orders
    return work


def _work(shop: Shop) -> Work:
    """Return the operations of the web processes so far; no client waits for those of the workers."""
    return Counter(line for path in shop.data.glob("work.*-web") for line in path.read_text().split())


@contextmanager
def _checkouts(folder: Path, environment: dict[str, str]) -> Iterator[tuple[Shop, Callable[[], None]]]:
    shop = Shop(folder, RATE_LIMITS="off", **environment)
    try:
        buyer = shop.up().shopper()
        products = cycle([shop.product(stock=1_000_000) for _ in range(PRODUCTS)])
        yield shop, lambda: expect(buyer.order(next(products), key=clock.new_id()), 201)
    finally:
        shop.down()


@contextmanager
def _bare(folder: Path, work: Work) -> Iterator[Callable[[], None]]:
    """Yield a function that does the same work: empty requests, reads and writes of order-sized documents."""
    store = SqliteStore(folder / "bare.db")
    documents = Collection("documents")
    documents.attach(store).ensure_indexes()
    with serving("bare", folder) as (port, _), requests.Session() as session:
        session.trust_env = False

        def bare() -> None:
            for _ in range(work["exchange"]):
                assert session.post(f"http://127.0.0.1:{port}/", json=_BODY).ok
            id = clock.new_id()
            document = {"_id": id, "text": "x" * 500, "number": 0}
            documents.insert(document)
            for number in range(work["insert"] - 1):
                documents.insert({**document, "_id": f"{id}-{number}"})
            for _ in range(work["update"] + work["delete"]):
                documents.update(id, {"$inc": {"number": 1}})
            for _ in range(work["get"]):
                documents.get(id)
            for _ in range(work["find"]):
                documents.find({"_id": id})

        yield bare
    store.close()


def _time(work: Callable[[], None]) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
