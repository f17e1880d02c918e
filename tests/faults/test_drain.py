"""Each process of a platform with two replicas restarts under load, also to replace its secret: no request fails."""

import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from chassis import clock
from mercato.catalog import catalog
from mercato.local.probes import is_ready
from tests.system.platform import Client, Shop, eventually, expect

REQUEST_INTERVAL_S = 0.1
RESTART_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform with two processes of each kind."""
    shop = Shop(tmp_path_factory.mktemp("replicated"), RATE_LIMITS="off", REPLICAS="2")
    try:
        yield shop.up()
    finally:
        shop.down()


@pytest.mark.timeout(600)
def test_no_request_fails_while_each_process_restarts(replicated: Shop) -> None:
    product, buyer = replicated.product(stock=100_000), replicated.shopper()
    requests_to_send: list[Callable[[Client], requests.Response]] = [
        lambda client: client.get("/api/products"),
        lambda client: client.get("/api/users/me"),
        lambda client: client.get("/api/notifications"),
        lambda client: client.order(product),
    ]
    stopped, failed, served = threading.Event(), [], []

    def send(request: Callable[[Client], requests.Response]) -> None:
        client = Client(buyer.url, buyer.token)
        while not stopped.is_set():
            response = request(client)
            served.append(response.status_code)
            if response.status_code not in (200, 201, 202):
                path = response.request.path_url
                failed.append(f"{clock.timestamp()} {path}: {response.status_code} {response.text}")
            time.sleep(REQUEST_INTERVAL_S)

    with ThreadPoolExecutor(len(requests_to_send)) as pool:
        clients = [pool.submit(send, request) for request in requests_to_send]
        try:
            for process in replicated.run()["processes"]:
                if process["kind"] == "web" or process["number"] == 1 and process["kind"] == "worker":
                    before = len(served)
                    _restart(replicated, process)
                    eventually(lambda before=before: len(served) >= before + len(clients), RESTART_TIMEOUT_S)
        finally:
            stopped.set()
        for client in clients:
            client.result()
    assert failed == []
    assert len(served) > 10 * len(catalog())


def test_process_is_not_ready_while_it_drains(replicated: Shop) -> None:
    process = replicated.process("users", "web")
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(replicated.shopper)
        os.kill(process["pid"], signal.SIGTERM)
        eventually(lambda: not is_ready(process["port"], process["health_port"]))
        request.result()
    eventually(lambda: is_ready(process["port"], process["health_port"]), RESTART_TIMEOUT_S)


@pytest.mark.any_engine
@pytest.mark.timeout(600)
def test_no_request_fails_while_the_platform_secret_is_replaced(replicated: Shop) -> None:
    """All services restart at once, one replica after the other, in each of the three steps."""
    product, buyer = replicated.product(stock=100_000), replicated.shopper()
    path = replicated.data / "secret"
    former, following = path.read_text(), secrets.token_hex(32)
    made = dict(_order(buyer, product, clock.new_id()) for _ in range(3))
    cursor = expect(buyer.get("/api/orders", params={"limit": 1}), 200)["nextCursor"]
    stopped, failed, served = threading.Event(), [], []

    def repeat(request: Callable[[Client], None]) -> None:
        client = Client(buyer.url, buyer.token)
        client.refresh_token = buyer.refresh_token
        while not stopped.is_set():
            try:
                request(client)
            except (AssertionError, requests.RequestException) as error:
                failed.append(f"{clock.timestamp()} {error!r}")
            served.append(request)
            time.sleep(REQUEST_INTERVAL_S)

    def order(client: Client) -> None:
        key, order_id = _order(client, product, clock.new_id())
        made[key] = order_id

    def retry(client: Client) -> None:
        key = secrets.choice(list(made))
        assert _order(client, product, key) == (key, made[key])

    def read_next_page(client: Client) -> None:
        expect(client.get("/api/orders", params={"limit": 1, "cursor": cursor}), 200)

    def refresh_twice(client: Client) -> None:
        body = {"refreshToken": client.refresh_token}
        tokens = [expect(client.post("/api/auth/refresh", body), 200)["refreshToken"] for _ in range(2)]
        assert tokens[0] == tokens[1]
        client.refresh_token = tokens[0]

    requests_to_send = [order, retry, read_next_page, refresh_twice]
    with ThreadPoolExecutor(len(requests_to_send)) as pool:
        clients = [pool.submit(repeat, request) for request in requests_to_send]
        try:
            for lines in ([former, following], [following, former]):
                _start_all_again_with(replicated, path, lines)
        finally:
            stopped.set()
        for client in clients:
            client.result()
    assert failed == []
    assert len(made) > 10 and set(served) == set(requests_to_send)
    _start_all_again_with(replicated, path, [following])
    assert {key: _order(buyer, product, key)[1] for key in made} == made
    assert len(buyer.items("/api/orders")) == len(made)
    expect(buyer.get("/api/orders", params={"limit": 1, "cursor": cursor}), 422)


def _order(client: Client, product: dict[str, Any], key: str) -> tuple[str, str]:
    """Place an order, or repeat it. Return the key and the id of the order."""
    response = client.order(product, key=key)
    assert response.status_code in (201, 202), f"{response.status_code} {response.text}"
    return key, str(response.json()["id"])


def _start_all_again_with(shop: Shop, path: Path, secrets_: list[str]) -> None:
    """Write the secrets of the platform and restart all first replicas, then all others."""
    path.write_text("\n".join(secrets_))
    processes = [each for each in shop.run()["processes"] if each["kind"] != "router"]
    for number in (1, 2):
        _restart(shop, *(each for each in processes if each["number"] == number))


def _restart(shop: Shop, *processes: dict[str, Any]) -> None:
    """Send SIGTERM to processes and wait until those in their place are ready."""
    pids = {each["health_port"]: each["pid"] for each in processes}

    def now() -> dict[int, int]:
        return {each["health_port"]: each["pid"] for each in shop.run()["processes"] if each["health_port"] in pids}

    for pid in pids.values():
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: all(pid != pids[port] for port, pid in now().items()), RESTART_TIMEOUT_S)
    eventually(lambda: all(is_ready(0, port) for port in pids), RESTART_TIMEOUT_S)
