"""Traces of a running platform at a collector: each order is one trace across all services."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis import clock
from tests.faults.conftest import INJECT
from tests.faults.scenario import Scenario
from tests.system.collector import Collector, Span
from tests.system.platform import PASSWORD, Client, Shop, eventually, expect
from tests.system.running import ROOT

HOPS = [
    ("POST /api/orders", "products/price-items", "POST /internal/price-items", "products"),
    ("checkout check buyer", "users/check-buyer", "POST /internal/check-buyer", "users"),
    ("checkout reserve stock", "inventory/reserve", "POST /internal/reserve", "inventory"),
    ("checkout take payment", "payments/charge", "POST /internal/charge", "payments"),
    ("checkout confirm stock", "inventory/confirm-stock", "POST /internal/confirm-stock", "inventory"),
]
"""(span in orders, its call, the request, the called service)."""

FLUSHED = """
from chassis.observe import export, trace
from chassis.observe.log import log
log.setup("bells", "worker", "info")
export.start("bells", "worker")
with trace.continue_trace(None, "the last work"):
    log.info("the last words")
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform that exports at once; tests can crash its processes."""
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_LOGS_EXPORTER": "otlp",
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


def grown(collector: Collector, trace: str, *wanted: tuple[str, str], whole: bool = True) -> list[Span]:
    """Wait until a trace has these spans, (service, name), and, if `whole`, no parent is missing; return its spans."""

    def complete() -> list[Span]:
        spans = collector.trace(trace)
        ids = {span.id for span in spans} | {""}
        found = {(span.service, span.name) for span in spans}
        return spans if found >= set(wanted) and not (whole and {span.parent for span in spans} - ids) else []

    spans: list[Span] = eventually(complete)
    return spans


def one(spans: list[Span], service: str, name: str) -> Span:
    (found,) = (span for span in spans if (span.service, span.name) == (service, name))
    return found


def test_order_is_one_trace_up_to_the_last_consumer(traced: Shop, collector: Collector, person: Client) -> None:
    product = traced.product()
    answer = person.order(product)
    assert answer.status_code in (201, 202), answer.text
    person.final_order(answer.json()["id"])
    consumers = [("notifications", "process orders.events"), ("products", "process inventory.events")]
    spans = grown(collector, answer.headers["X-Trace-Id"], ("orders", "checkout confirm order"), *consumers)
    first, root = one(spans, "router", "POST /api/orders"), one(spans, "orders", "POST /api/orders")
    assert [span for span in spans if not span.parent] == [first]
    assert root.parent == one(spans, "router", "orders").id
    assert (root.kind, root.attributes["http.route"]) == ("SERVER", "/api/orders")
    assert root.attributes["http.response.status_code"] == answer.status_code
    for work, call, request, service in HOPS:
        client, server = one(spans, "orders", call), one(spans, service, request)
        assert (client.parent, server.parent) == (one(spans, "orders", work).id, client.id)
        assert (client.kind, server.kind) == ("CLIENT", "SERVER")
        assert client.attributes["http.response.status_code"] == 200
    steps = [span for span in spans if span.name.startswith("checkout ")]
    assert {(step.parent, step.attributes["saga.outcome"]) for step in steps} == {(root.id, "Done")}
    order = answer.json()["id"]
    assert {span.attributes["order.id"] for span in [root, *steps]} == {order}
    written = [span for span in spans if span.name in ("insert streams", "update sagas")]
    assert written and {span.attributes["order.id"] for span in written} == {order}
    assert not [span for span in spans if span.failed]


def test_events_of_an_order_are_in_its_trace(traced: Shop, collector: Collector, person: Client) -> None:
    answer = person.order(traced.product())
    person.final_order(answer.json()["id"])
    wanted = [("notifications", "process orders.events"), ("products", "process inventory.events")]
    sent = [(service, f"send {service}.events") for service in ("orders", "inventory", "payments", "notifications")]
    spans = grown(collector, answer.headers["X-Trace-Id"], *wanted, *sent, ("orders", "checkout confirm order"))
    by_id = {span.id: span for span in spans}
    for span in spans:
        before = by_id.get(span.parent)
        if span.kind == "CONSUMER":
            assert before and before.kind == "PRODUCER"
            assert before.name.split()[1] == span.name.split()[1] == span.attributes["messaging.destination.name"]
        if span.kind == "PRODUCER":
            assert before and before.kind in ("INTERNAL", "SERVER", "CONSUMER")
            assert before.service == span.service
    placed = one(spans, "orders", "checkout place")
    assert placed.id in [span.parent for span in spans if (span.service, span.kind) == ("orders", "PRODUCER")]


def test_resumed_checkout_stays_in_the_trace_of_its_order(traced: Shop, collector: Collector, person: Client) -> None:
    scenario = Scenario(traced, "traced")
    product = traced.product()
    scenario.arm_crash("orders-web", "do take payment", "before")
    order = scenario.place_order(person, product)
    scenario.wait_until_fired("orders-web")
    assert scenario.final_status(order) == "confirmed"
    (saga,) = (saga for saga in traced.documents("orders", "sagas") if saga["_id"] == order)
    _, trace, request, _ = saga["traceparent"].split("-")
    wanted = [
        ("orders", "resume checkout"),
        ("orders", "checkout confirm order"),
        ("payments", "POST /internal/charge"),
    ]
    # The span of the request was lost with its process; its children still name it as their parent.
    spans = grown(collector, trace, *wanted, whole=False)
    resumed = {span.id: span.parent for span in spans if span.name == "resume checkout"}
    steps = {span.id: span.parent for span in spans if span.name == "checkout take payment"}
    calls = {span.id: span.parent for span in spans if span.name == "payments/charge"}
    charged = {span.parent for span in spans if span.name == "POST /internal/charge"}
    assert set(resumed.values()) == {request}
    assert set(steps.values()) <= resumed.keys() and set(calls.values()) <= steps.keys() and charged <= calls.keys()


def test_exported_lines_equal_those_of_the_log(traced: Shop, collector: Collector, person: Client) -> None:
    answer = person.order(traced.product())
    order, trace = answer.json()["id"], answer.headers["X-Trace-Id"]
    person.final_order(order)
    wanted = {("orders", "/api/orders"), ("inventory", "/internal/reserve"), ("payments", "/internal/charge")}

    def exported() -> bool:
        about = [line for line in collector.lines if line.trace == trace and line.fields.get("orderId") == order]
        return {(line.service, line.fields["route"]) for line in about if line.message == "request"} >= wanted

    eventually(exported)
    requests = [line for line in collector.lines if line.trace == trace and line.fields.get("route") == "/api/orders"]
    (line,) = (line for line in requests if line.service == "orders")

    def written() -> dict[str, Any] | None:
        lines = map(json.loads, traced.log("orders-web").splitlines())
        return next(
            (each for each in lines if (each.get("traceId"), each.get("route")) == (trace, "/api/orders")), None
        )

    same = eventually(written)
    assert line.message == same["message"]
    assert {*same.items()} - {*line.fields.items()} == {
        (name, same[name]) for name in ("time", "level", "message", "traceId", "service", "process", "pid")
    }
    assert line.fields.keys() <= same.keys()


def test_traces_hold_no_personal_data(traced: Shop, collector: Collector, person: Client, canary: str) -> None:
    secret = f"tok_{canary}"
    product = traced.product()
    person.get("/api/products", params={"q": canary})
    person.request("POST", "/api/auth/login", {"email": f"{canary}@example.com", "password": f"{canary}-wrong"})
    person.get(f"/api/users/{person.id}")
    person.get(f"/api/users/{canary}")
    person.request("GET", "/api/users/me", headers={"Authorization": f"Bearer {canary}", "traceparent": canary})
    answer = person.order(product, paymentToken=secret)
    assert answer.status_code in (402, 409, 422), answer.text
    person.order(product, key=canary)
    last = expect(person.post("/api/auth/refresh", {"refreshToken": person.refresh_token}), 200)
    erased = person.erase()
    expect(erased, 204)
    grown(collector, erased.headers["X-Trace-Id"], ("notifications", "process users.events"))
    words = [canary, person.id, person.token, person.refresh_token, last["accessToken"], last["refreshToken"], PASSWORD]
    assert [word for word in words if word.encode() in collector.raw] == []


def test_orders_succeed_while_the_collector_is_down(traced: Shop, collector: Collector) -> None:
    processes = ("orders-web", "orders-worker", "users-web")
    before = {process: len(traced.log(process)) for process in processes}
    collector.close()
    try:
        traced.shopper().buy(traced.product())
        eventually(lambda: "telemetry export failed" in traced.log("orders-web"))
    finally:
        collector.reopen()
    for process in processes:
        lines = [json.loads(line) for line in traced.log(process)[before[process] :].splitlines()]
        levels = [line["level"] for line in lines if line["message"] == "telemetry export failed"]
        assert levels in ([], ["warning"])
        assert not [line for line in lines if "stack" in line]


def test_ending_process_exports_its_last_spans_and_lines(collector: Collector, tmp_path: Path) -> None:
    done = last_words(collector.url, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (span,) = (span for span in collector.spans if span.name == "the last work")
    (line,) = (line for line in collector.lines if line.message == "the last words")
    assert (span.service, line.service, line.trace) == ("bells", "bells", span.trace)


def test_process_ends_in_time_if_the_collector_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = last_words(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the last words" in done.stdout


def last_words(endpoint: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a process that ends right after its work, with an exporter that has a long delay."""
    slow = {"OTEL_BSP_SCHEDULE_DELAY": "60000", "OTEL_EXPORTER_OTLP_TIMEOUT": "60"}
    exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_LOGS_EXPORTER": "otlp"}
    environment = {**exporting, **slow, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", FLUSHED], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
