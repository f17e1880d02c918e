"""A slow payment provider: throughput of checkouts while each charge takes 300 ms, and browsing while it hangs.

    buyers ──► orders ──(8 places)──► payments ──► a Stripe on loopback: instant, slow or hanging

At most one checkout for each place in the bulkhead of `payments` in `orders` can wait for the provider, so checkouts
have an upper bound: places / (300 ms + a checkout's time with an instant provider).
"""

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chassis import clock
from tests.bench.hang import Orders
from tests.bench.shop import running_shop
from tests.fake_stripe import SECRET, FakeStripe
from tests.system.platform import Client, Shop

PLACES = 8
"""Places for `payments` in `orders`: half of the default of THREADS."""
DELAY_S = 0.3
MIN_SHARE, MAX_RATIO = 0.8, 1.25
ROUNDS, ROUND_S = 5, 5.0
_PRODUCTS = 8
_TOKEN = "pm_ok"  # noqa: S105  a name

Product = dict[str, Any]


def run(short: bool) -> list[dict[str, Any]]:
    """Measure checkouts with an instant and with a slow provider; in full, also reads while it answers and hangs."""
    with FakeStripe() as stripe:
        settings = {"PAYMENT_PROVIDER": "stripe", "STRIPE_API_KEY": "sk_test_bench", "STRIPE_API_BASE": stripe.url}
        with running_shop(STRIPE_WEBHOOK_SECRET=SECRET, **settings) as shop:
            products = [shop.product(stock=100_000) for _ in range(_PRODUCTS)]
            buyers = [shop.shopper() for _ in range(PLACES)]
            _checkouts(buyers, products, 5)
            found = [_throughput(stripe, buyers, products) for _ in range(3 if short else 11)]
            ratios = [] if short else _browse(shop, stripe, Orders(buyers, products, _TOKEN))
    instant_s, rate = (statistics.median(values) for values in zip(*found, strict=True))
    share = statistics.median(rate * (DELAY_S + instant_s) / PLACES for instant_s, rate in found)
    return [
        {"name": "checkout, instant provider", "value": instant_s * 1000, "unit": "ms"},
        {"name": "provider of 300 ms", "value": rate, "unit": "orders/s"},
        {
            "name": "of its upper bound, median of pairs",
            "value": share,
            "bar": f">= {MIN_SHARE}",
            "ok": share >= MIN_SHARE,
        },
        *([_browsing(statistics.median(ratios))] if ratios else []),
    ]


def _browsing(ratio: float) -> dict[str, Any]:
    return {"name": "catalog, p95, hangs / answers", "value": ratio, "bar": f"<= {MAX_RATIO}", "ok": ratio <= MAX_RATIO}


def _answer(method: str, path: str) -> str:
    return ""


def _delay(method: str, path: str) -> str:
    if path.endswith("/confirm"):
        time.sleep(DELAY_S)
    return ""


def _throughput(stripe: FakeStripe, buyers: list[Client], products: list[Product]) -> tuple[float, float]:
    """Return the seconds of a checkout with an instant provider, and the checkouts per second with a slow one."""
    (instant_s,) = _checkouts(buyers[:1], products, 10)
    stripe.fault = _delay
    began = time.perf_counter()
    orders = sum(map(len, _checkouts(buyers, products, 5)))
    rate = orders / (time.perf_counter() - began)
    stripe.fault = _answer
    return statistics.median(instant_s), rate


def _checkouts(buyers: list[Client], products: list[Product], count: int) -> list[list[float]]:
    """Let each buyer check out one order after the other; return the seconds of each that is confirmed in time."""

    def buy(number: int) -> list[float]:
        buyer, times = Client(buyers[number].url, buyers[number].token), []
        for _ in range(count):
            began = time.perf_counter()
            response = buyer.order(products[number % len(products)], key=clock.new_id(), paymentToken=_TOKEN)
            assert response.status_code in (201, 202), response.text
            if response.status_code == 201:
                times.append(time.perf_counter() - began)
        return times

    with ThreadPoolExecutor(len(buyers)) as pool:
        return list(pool.map(buy, range(len(buyers))))


def _browse(shop: Shop, stripe: FakeStripe, orders: Orders) -> list[float]:
    """Return the ratios of the 95th percentiles of `GET /api/products`, by round."""
    ratios = []
    for _ in range(ROUNDS):
        answers = _p95(shop, orders)
        stripe.hangs.clear()
        stripe.fault = lambda method, path: "hang"
        try:
            ratios.append(_p95(shop, orders) / answers)
        finally:
            stripe.fault = _answer
            stripe.hangs.set()
        orders.wait_until_final()
    return ratios


def _p95(shop: Shop, orders: Orders) -> float:
    """Return the 95th percentile of the seconds of a read, while orders are placed."""
    reader, stopped, times = shop.guest(), threading.Event(), list[float]()
    with ThreadPoolExecutor(1) as pool:
        placing = pool.submit(orders.place, stopped)
        try:
            until = time.monotonic() + ROUND_S
            while time.monotonic() < until:
                began = time.perf_counter()
                assert reader.get("/api/products").status_code == 200
                times.append(time.perf_counter() - began)
        finally:
            stopped.set()
        placing.result()
    return statistics.quantiles(times, n=20)[18]
