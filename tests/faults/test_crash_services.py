"""kill -9 of the services that a checkout calls, of the one that has the accounts, and of the workers with events."""

import base64
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
import requests

from chassis import clock
from mercato.catalog import processes
from services.inventory.domain import PENDING_STAGES
from tests import dump
from tests.faults.scenario import Scenario
from tests.sizes import by_form
from tests.system.platform import PASSWORD, Client, eventually

CONSUMERS = ("products", "inventory", "orders", "payments", "notifications")
"""Services that consume an order's events, directly or indirectly."""
TIMEOUT_S = 60.0

CRASHES = [
    ("orders-web", "sagas.insert", "after"),
    ("orders-web", "streams.insert", "after"),
    ("orders-web", "idempotency.update", "before"),
    ("inventory-web", "reservations.insert", "after"),
    ("inventory-web", "stock.update", "before"),
    ("inventory-web", "stock.update", "after"),
    ("inventory-web", "reservations.update", "before"),
    ("inventory-web", "reservations.update", "after"),
    ("payments-web", "payments.insert", "after"),
    ("payments-web", "test_provider_ledger.update", "before"),
    ("payments-web", "test_provider_ledger.update", "after"),
    ("payments-web", "payments.update", "after"),
    ("inventory-worker", "stock.update", "after"),
    ("payments-worker", "test_provider_ledger.update", "after"),
    ("notifications-worker", "notifications.insert", "before"),
    ("notifications-worker", "notifications.insert", "after"),
    ("orders-worker", "publish", "before"),
    *((f"{service}-worker", "publish", "after") for service in ("users", *CONSUMERS)),
    *((f"{service}-worker", "commit", "before") for service in CONSUMERS),
]
"""In the order in which an order reaches them."""


@pytest.mark.parametrize(("process", "point", "when"), CRASHES, ids=[" ".join(crash) for crash in CRASHES])
def test_each_event_has_its_effect_once_after_a_crash(
    crash: Scenario, person: Client, process: str, point: str, when: str
) -> None:
    crash.arm_crash(process, point, when)
    product = crash.shop.product(stock=10)
    buyer = crash.shop.shopper() if process == "users-worker" else person
    order = crash.place_order(buyer, product, quantity=2)
    assert crash.final_status(order) == "confirmed"
    response = crash.retry_until_answered(lambda key: buyer.post(f"/api/orders/{order}/cancel", key=key), "cancel")
    assert response.json()["status"] == "cancelled"
    crash.wait_until_fired(process, TIMEOUT_S)
    crash.assert_consistent((order, "cancelled"))
    assert crash.shop.stock(product) == (10, 0, 0)
    notified = [item["kind"] for item in buyer.items("/api/notifications") if order in item["body"]]
    assert notified == ["order_cancelled", "order_confirmed"]


ACCOUNT_CRASHES = [
    ("password", "accounts.update", "before"),
    ("password", "accounts.update", "after"),
    ("erasure", "accounts.update", "after"),
    ("session", "refresh_token_families.update", "after"),
    ("session", "accounts.update", "after"),
    *by_form(
        [],
        [
            ("password", "idempotency.insert", "after"),
            ("password", "refresh_token_families.delete", "before"),
            ("password", "refresh_token_families.delete", "after"),
            ("password", "idempotency.update", "before"),
            ("password", "idempotency.update", "after"),
            ("erasure", "accounts.update", "before"),
            ("erasure", "refresh_token_families.delete", "before"),
            ("erasure", "refresh_token_families.delete", "after"),
            ("session", "refresh_token_families.update", "before"),
            ("session", "accounts.update", "before"),
        ],
    ),
]
"""The writes of the web process of users; the unit tests of credentials interrupt every single one."""
NEW_PASSWORD = f"another {PASSWORD}"


def _signs_in(client: Client, password: str) -> bool:
    response = client.post("/api/auth/login", {"email": client.email, "password": password})
    return response.status_code == 200


@pytest.mark.parametrize(
    ("operation", "point", "when"), ACCOUNT_CRASHES, ids=[" ".join(crash) for crash in ACCOUNT_CRASHES]
)
def test_no_session_outlives_an_account_operation_that_a_crash_interrupts(
    crash: Scenario, operation: str, point: str, when: str
) -> None:
    """The thief's session ends with the write that changes the account; a retry by the owner completes the rest."""
    owner = crash.shop.shopper()
    thief = Client(owner.url).sign_in(owner.email, PASSWORD)
    stolen = orjson.loads(base64.urlsafe_b64decode(thief.token.split(".")[1] + "=="))["sid"]

    def change(key: str) -> requests.Response:
        if operation == "session":
            return owner.delete(f"/api/users/me/sessions/{stolen}", key=key)
        if operation == "erasure":
            return owner.delete(f"/api/users/{owner.id}", json={"currentPassword": PASSWORD}, key=key)
        body = {"password": NEW_PASSWORD, "currentPassword": PASSWORD}
        return owner.put(f"/api/users/{owner.id}", body, key=key)

    crash.arm_crash("users-web", point, when)
    key = clock.new_id()
    crash.send_once(operation, key, lambda: change(key))
    crash.wait_until_fired("users-web")
    eventually(lambda: owner.get("/api/auth/jwks.json").status_code == 200)
    (account,) = (doc for doc in crash.shop.documents("users", "accounts") if doc["_id"] == owner.id)
    if account["credentialsVersion"]:  # before any retry and any job
        assert thief.post("/api/auth/refresh", {"refreshToken": thief.refresh_token}).status_code == 401
        assert not _signs_in(thief, PASSWORD)
    answer = crash.retry_until_answered(change, operation, key=key)
    assert answer.status_code in ((200, 204, 401) if account["credentialsVersion"] else (200, 204))
    for path in ("/api/users/me", "/api/orders"):
        eventually(lambda: thief.get(path).status_code == 401)  # noqa: B023  called at once
    assert thief.post("/api/auth/refresh", {"refreshToken": thief.refresh_token}).status_code == 401
    assert _signs_in(owner, NEW_PASSWORD) is (operation == "password")
    assert _signs_in(owner, PASSWORD) is (operation == "session")


def test_data_is_consistent_after_each_process_died_under_load(crash: Scenario, person: Client) -> None:
    products = [crash.shop.product(stock=20) for _ in range(3)]
    stopped = threading.Event()

    def buy(turn: int) -> None:
        client = Client(person.url, person.token)
        client.account = person.account
        while not stopped.is_set():
            token = "tok_declined" if turn % 5 == 4 else "tok_ok"
            crash.place_order(client, products[turn % 3], timeout_s=TIMEOUT_S, paymentToken=token)
            turn += 1

    with ThreadPoolExecutor(3) as pool:
        buyers = [pool.submit(buy, turn) for turn in range(3)]
        try:
            for name, kind in processes():
                _kill(crash, name, kind)
        finally:
            stopped.set()
        for buyer in buyers:
            buyer.result()
    crash.assert_consistent()
    found = dump.read(crash.shop.place)
    statuses = Counter(doc["status"] for doc in found.docs("inventory", "reservations").values())
    assert not statuses.keys() & PENDING_STAGES
    assert [crash.shop.stock(product)[0] >= 0 for product in products] == [True] * 3


def _kill(crash: Scenario, name: str, kind: str) -> None:
    """Kill a process and wait until a new one runs in its place."""
    victim = crash.shop.process(name, kind)["pid"]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: crash.shop.process(name, kind)["pid"] != victim, TIMEOUT_S)
