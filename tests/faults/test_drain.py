"""Each process of a platform with two replicas restarts under load: no request fails."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from chassis import clock
from mercato.catalog import catalog
from mercato.local.probes import is_ready
from tests.system.platform import Client, Shop, eventually

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
        client = Client(buyer.url, buyer.token, buyer.account)
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
                    _restart(replicated, process["health_port"])
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


def _restart(shop: Shop, health_port: int) -> None:
    """Send SIGTERM to a process and wait until the one in its place is ready."""

    def entry() -> dict[str, int]:
        return next(each for each in shop.run()["processes"] if each["health_port"] == health_port)

    pid = entry()["pid"]
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: entry()["pid"] != pid, RESTART_TIMEOUT_S)
    eventually(lambda: is_ready(0, health_port), RESTART_TIMEOUT_S)
