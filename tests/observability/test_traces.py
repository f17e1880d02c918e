"""Traces in Jaeger: an order is one tree across all services, even after crashes.

Needs `jaeger-all-in-one` on the PATH.
"""

import os
import re
from collections.abc import Iterator

import pytest

from chassis import clock
from tests.faults.conftest import INJECT
from tests.faults.scenario import Scenario
from tests.observability.jaeger import BINARY, Jaeger, Span, paths
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect
from tests.system.running import ROOT
from tests.system.scraping import scrape

pytestmark = pytest.mark.skipif(BINARY is None, reason="jaeger-all-in-one is not on the PATH")

TREE = """
router: POST /api/orders
    router: orders
        orders: POST /api/orders
            orders: products/price-items
                products: POST /internal/price-items
            orders: checkout place
                orders: send orders.events
                    orders: process orders.events
                    notifications: process orders.events
                    carts: process orders.events
            orders: checkout check buyer
                orders: users/check-buyer
                    users: POST /internal/check-buyer
            orders: checkout reserve stock
                orders: inventory/reserve
                    inventory: POST /internal/reserve
                        inventory: send inventory.events
            orders: checkout take payment
                orders: payments/charge
                    payments: POST /internal/charge
                        payments: send payments.events
                            orders: process payments.events
            orders: checkout confirm stock
                orders: inventory/confirm-stock
                    inventory: POST /internal/confirm-stock
                        inventory: send inventory.events
                            products: process inventory.events
            orders: checkout confirm order
                orders: send orders.events
                    orders: process orders.events
                    carts: process orders.events
                    notifications: process orders.events
                        notifications: send notifications.events
"""
RESUMED = """
orders: resume checkout
    orders: checkout confirm stock
        orders: inventory/confirm-stock
            inventory: POST /internal/confirm-stock
                inventory: send inventory.events
                    products: process inventory.events
    orders: checkout confirm order
        orders: send orders.events
            orders: process orders.events
            notifications: process orders.events
                notifications: send notifications.events
"""
SOONER = "products: process inventory.events"
"""Also below the reservation, if the stock event was published before the stock changed again."""


def ways(tree: str) -> set[tuple[str, ...]]:
    """Return each line of a drawn tree as its path."""
    found, above = set(), list[str]()
    for line in filter(None, tree.splitlines()):
        above[(len(line) - len(line.lstrip())) // 4 :] = [line.strip()]
        found.add(tuple(above))
    return found


@pytest.fixture(scope="module")
def jaeger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jaeger]:
    with Jaeger(tmp_path_factory.mktemp("jaeger")) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def traced(jaeger: Jaeger, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform that records every trace; tests can crash its processes."""
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "PYTHONPATH": os.pathsep.join((str(INJECT), str(ROOT))),
    }
    shop = Shop(tmp_path_factory.mktemp("traced"), RATE_LIMITS="off", LEASE="2", CHECKOUT_DEADLINE="4", **settings)
    try:
        yield shop.up()
    finally:
        shop.down()


@pytest.fixture(scope="module")
def canary() -> str:
    return f"canary{clock.new_id().lower()}"


@pytest.fixture(scope="module")
def person(traced: Shop, canary: str) -> Client:
    """A user whose personal data contain the canary."""
    return traced.shopper(email=f"{canary}@example.com", name=f"{canary} Byron", password=f"{canary} battery")


def test_checkout_is_one_trace_across_services(traced: Shop, jaeger: Jaeger, person: Client) -> None:
    person.buy(traced.product())  # the public keys are known from now on
    answer = person.order(traced.product(), paymentToken="tok_ok")
    assert answer.status_code in (201, 202), answer.text
    person.final_order(answer.json()["id"])

    def whole() -> list[Span]:
        found = [span for span in jaeger.trace(answer.headers["X-Trace-Id"]) if "db.operation.name" not in span.tags]
        return found if ways(TREE) <= set(paths(found).values()) else []

    spans: list[Span] = eventually(whole)
    more = {way for way in paths(spans).values() if way[-1] != SOONER} - ways(TREE)
    assert more == set(), "what no order needs"
    assert not [span for span in spans if span.tags.get("error")]
    for span in spans:
        if span.kind in ("producer", "consumer"):
            doing, topic = span.name.split()
            assert span.tags["messaging.system"] and span.tags["messaging.operation.type"] == doing
            assert span.tags["messaging.destination.name"] == topic


def test_saga_resumed_after_two_crashes_stays_in_its_trace(traced: Shop, jaeger: Jaeger, person: Client) -> None:
    scenario, product = Scenario(traced, "traced"), traced.product()
    scenario.arm_crash("orders-web", "do take payment", "before")
    scenario.arm_crash("orders-worker", "do confirm stock", "before")
    order = scenario.place_order(person, product)
    scenario.wait_until_fired("orders-web")
    scenario.wait_until_fired("orders-worker")
    assert scenario.final_status(order) == "confirmed"
    (saga,) = (saga for saga in traced.documents("orders", "sagas") if saga["_id"] == order)
    _, trace, request, _ = saga["traceparent"].split("-")

    def resumed() -> list[Span]:
        found = jaeger.trace(trace)
        return found if ways(RESUMED) <= set(paths(found).values()) else []

    spans: list[Span] = eventually(resumed)
    # The crashed processes lost their last spans; the resumed work is a child of the request.
    assert {span.parent for span in spans if span.name == "resume checkout"} == {request}
    served = {str(span) for span in spans if span.kind == "server"}
    assert {"payments: POST /internal/charge", "inventory: POST /internal/reserve"} <= served


def test_telemetry_holds_no_secret(traced: Shop, jaeger: Jaeger, person: Client, canary: str) -> None:
    card = f"tok_{canary}"
    person.request("POST", "/api/auth/login", {"email": f"{canary}@example.com", "password": f"{canary}-wrong"})
    person.get("/api/products", params={"q": canary})
    person.request("GET", f"/api/users/{canary}")
    declined = person.order(traced.product(), paymentToken=card)
    assert declined.status_code in (402, 409, 422), declined.text
    rejected = traced.product()
    last = person.order(rejected, paymentToken="tok_declined")
    expect(person.post("/api/auth/refresh", {"refreshToken": person.refresh_token}), 200)
    eventually(lambda: [span for span in jaeger.trace(last.headers["X-Trace-Id"]) if span.service == "notifications"])

    telemetry = {"traces": jaeger.everything(), **scrape(traced)}
    telemetry |= {path.name: path.read_text() for path in (traced.data / "logs").iterdir()}
    assert (
        len(telemetry) > 2 * 10
        and "POST /api/orders" in telemetry["traces"]
        and "orderId" in telemetry["orders-web.log"]
    )
    words = [canary, person.token, person.refresh_token, PASSWORD, traced.admin().token, traced.admin().email, "tok_"]
    found = [(where, word) for where, text in telemetry.items() for word in words if word in text]
    found += [(where, "a JWT") for where, text in telemetry.items() if re.search(r"eyJ[\w-]+\.", text)]
    found += [
        (where, match[0]) for where, text in telemetry.items() if (match := re.search(r"[\w.+-]+@[\w-]+\.\w+", text))
    ]
    assert found == []
