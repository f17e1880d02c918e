"""The metrics of a running platform: correct, of bounded number, and without personal data."""

import re

import pytest
import requests

from chassis import clock
from tests.system.platform import Client, Shop, eventually
from tests.system.scraping import Snapshot, samples, scrape

pytestmark = pytest.mark.any_engine
MAX_SERIES = 3000
"""Series of one process, each bucket counted."""
MAX_NEW_SERIES = 5
VISITS = 12
SECRET = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{32}|@|eyJ|tok_", re.ASCII)
"""A ULID, a trace id or hash, an e-mail address, a JWT, or a payment token."""

Child = tuple[str, frozenset[tuple[str, str]]]


def children(shop: Shop) -> dict[str, set[Child]]:
    """Return process -> its metrics, one per set of labels; the buckets of a histogram count as one."""
    found: dict[str, set[Child]] = {}
    for process, text in scrape(shop).items():
        series = list(samples(text))
        assert len(series) < MAX_SERIES, process
        found[process] = {
            (sample.name, frozenset((name, label) for name, label in sample.labels.items() if name != "le"))
            for sample in series
        }
    return found


def visit(shop: Shop) -> list[str]:
    """Send every kind of made-up client input, always new; return the words."""
    buyer = shop.shopper()
    order = buyer.buy(shop.product())["id"]
    made = [buyer.id, buyer.email, order]
    for number in range(VISITS):
        word = clock.new_id()
        made.append(word)
        for path in (f"/api/orders/{word}", f"/api/products/{word}", f"/api/{word}", f"/{word}", f"/internal/{word}"):
            buyer.get(path)
            requests.get(shop.url_of("orders") + path, timeout=10)
        buyer.get("/api/products", params={"q": word})
        buyer.request(
            "POST", "/api/auth/login", {"email": f"{word}@example.com", "password": word}
        ) if number < 3 else None
        requests.request(f"X{word[-8:]}", shop.url_of("products") + "/api/products", timeout=10)
        requests.get(shop.url_of("users") + "/api/users/me", headers={"Authorization": f"Bearer {word}"}, timeout=10)
    return made


def test_client_input_creates_no_series(shop: Shop) -> None:
    visit(shop)
    made = visit(shop)
    before = children(shop)
    made += visit(shop)
    after = children(shop)
    for process, found in after.items():
        assert len(found - before[process]) < MAX_NEW_SERIES, (process, found - before[process])
    labels = {label for found in after.values() for _, pairs in found for _, label in pairs}
    assert [label for label in labels if SECRET.search(label) or label in made] == []
    assert {"_OTHER", "", "/api/orders/{id}"} <= labels


def test_unknown_methods_and_routes_share_one_series(shop: Shop) -> None:
    def unknown_requests() -> float:
        name = "http_server_request_duration_seconds_count"
        return Snapshot(shop).value(name, http_request_method="_OTHER", http_route="")

    before = unknown_requests()
    for method in ("SPY", "BREW"):
        requests.request(method, shop.url_of("orders") + "/api/orders", timeout=10)
    assert unknown_requests() == before + 2


def test_business_facts_are_counted_once(shop: Shop, admin: Client) -> None:
    counted = {
        "placed": ("mercato_orders_total", {"outcome": "placed"}),
        "confirmed": ("mercato_orders_total", {"outcome": "confirmed"}),
        "rejected": ("mercato_orders_total", {"outcome": "rejected"}),
        "cancelled": ("mercato_orders_total", {"outcome": "cancelled"}),
        "revenue": ("mercato_orders_revenue_minor_units_total", {"currency": "EUR"}),
        "took": ("mercato_checkout_duration_seconds_count", {}),
        "captured": ("mercato_payments_total", {"outcome": "captured"}),
        "refused": ("mercato_payments_total", {"outcome": "refused"}),
        "refunded": ("mercato_payments_total", {"outcome": "refunded"}),
        "reserved": ("mercato_reservations_total", {"outcome": "reserved"}),
        "sold": ("mercato_reservations_total", {"outcome": "confirmed"}),
        "released": ("mercato_reservations_total", {"outcome": "released"}),
        "returned": ("mercato_reservations_total", {"outcome": "returned"}),
        "done": ("mercato_saga_finished_total", {"saga": "checkout", "outcome": "done"}),
        "undone": ("mercato_saga_finished_total", {"saga": "checkout", "outcome": "undone"}),
        "replayed": ("mercato_http_server_idempotent_replays_total", {"http_route": "/api/orders"}),
    }

    def now() -> dict[str, float]:
        snapshot = Snapshot(shop)
        return {fact: snapshot.value(name, **labels) for fact, (name, labels) in counted.items()}

    def grown() -> dict[str, float]:
        return {fact: after - before[fact] for fact, after in now().items() if after != before[fact]}

    before = now()
    buyer, product, key = shop.shopper(), shop.product(price="12.50"), clock.new_id()
    first = buyer.order(product, 2, key=key)
    again = buyer.order(product, 2, key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    buyer.final_order(first.json()["id"])
    bought = dict.fromkeys(("placed", "confirmed", "took", "captured", "reserved", "sold", "done", "replayed"), 1.0)
    eventually(lambda: grown() == bought | {"revenue": 2500.0})

    before = now()
    declined = buyer.order(product, paymentToken="tok_declined")
    buyer.final_order(declined.json()["orderId"])
    eventually(
        lambda: (
            grown() == dict.fromkeys(("placed", "rejected", "took", "refused", "reserved", "released", "undone"), 1.0)
        )
    )

    before = now()
    buyer.post(f"/api/orders/{first.json()['id']}/cancel")
    eventually(lambda: grown() == dict.fromkeys(("cancelled", "refunded", "returned"), 1.0))


def test_gauges_of_pending_work_return_to_zero(shop: Shop) -> None:
    shop.shopper().buy(shop.product())

    def gauges() -> dict[str, float]:
        snapshot = Snapshot(shop)
        names = (
            "mercato_outbox_pending",
            "mercato_outbox_oldest_age_seconds",
            "mercato_saga_open",
            "mercato_saga_oldest_age_seconds",
        )
        return {name: snapshot.value(name) for name in names}

    eventually(lambda: not any(gauges().values()))
    steps = {
        sample.labels["step"]
        for sample in samples(scrape(shop)["orders-worker"])
        if sample.name == "mercato_saga_oldest_age_seconds"
    }
    assert steps == {"place", "check buyer", "reserve stock", "take payment", "confirm stock", "confirm order"}


def test_durations_are_observed(shop: Shop) -> None:
    shop.shopper().buy(shop.product())
    names = (
        "http_server_request_duration",
        "http_client_request_duration",
        "db_client_operation_duration",
        "mercato_consumer_delay",
        "mercato_saga_duration",
        "mercato_checkout_duration",
    )

    def untimed() -> list[str]:
        snapshot = Snapshot(shop)
        return [name for name in names if not snapshot.value(f"{name}_seconds_count")]

    eventually(lambda: not untimed())
