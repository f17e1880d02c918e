"""Contention: 24 clients order a product that is nearly sold out. Few of their orders may be shed."""

import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench.shop import running_shop
from tests.system.platform import Client

ORDERS, FEW_ORDERS = 1000, 400
THREADS = 24
UNITS_PER_ORDER = 0.1
MAX_SHED_SHARE = 0.02


def run(short: bool) -> list[dict[str, Any]]:
    """Place all orders; return the response times and the share of 503."""
    orders = FEW_ORDERS if short else ORDERS
    with running_shop() as shop:
        buyer = shop.shopper()
        product = shop.product(stock=int(orders * UNITS_PER_ORDER))
        begun = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            turns = [pool.submit(_buy, buyer, product, range(n, orders, THREADS)) for n in range(THREADS)]
            responses = [response for turn in turns for response in turn.result()]
        took = time.perf_counter() - begun
    statuses = Counter(status for status, _ in responses)
    cuts = statistics.quantiles([seconds * 1000 for _, seconds in responses], n=100)
    shed = statuses[503] / orders
    return [
        {"name": f"{THREADS} clients, one product", "value": orders / took, "unit": "orders/s"},
        {"name": "response time, p50", "value": cuts[49], "unit": "ms"},
        {"name": "response time, p99", "value": cuts[98], "unit": "ms"},
        {"name": "share of 503", "value": shed, "bar": f"<= {MAX_SHED_SHARE}", "ok": shed <= MAX_SHED_SHARE},
    ]


def _buy(buyer: Client, product: dict[str, Any], turns: range) -> list[tuple[int, float]]:
    """Buy one unit after another; return status and seconds of each response."""
    client = Client(buyer.url, buyer.token)
    responses = []
    for _ in turns:
        begun = time.perf_counter()
        status = client.order(product).status_code
        responses.append((status, time.perf_counter() - begun))
    return responses
