"""Each process is told to end while it is asked, behind two replicas: nobody notices."""

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

PAUSE = 0.1
"""Seconds between two requests of a client."""


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform with two processes of each kind."""
    shop = Shop(tmp_path_factory.mktemp("doubled"), RATE_LIMITS="off", REPLICAS="2")
    try:
        yield shop.up()
    finally:
        shop.down()


@pytest.mark.timeout(300)
def test_no_request_fails_while_any_one_process_restarts(doubled: Shop) -> None:
    product, buyer = doubled.product(stock=100_000), doubled.shopper()
    asks: list[Callable[[Client], requests.Response]] = [
        lambda client: client.get("/api/products"),
        lambda client: client.get("/api/users/me"),
        lambda client: client.get("/api/notifications"),
        lambda client: client.order(product),
    ]
    over, failed, served = threading.Event(), [], []

    def ask(what: Callable[[Client], requests.Response]) -> None:
        client = Client(buyer.url, buyer.token, buyer.account)
        while not over.is_set():
            answer = what(client)
            served.append(answer.status_code)
            if answer.status_code not in (200, 201, 202):
                failed.append(f"{clock.timestamp()} {answer.request.path_url}: {answer.status_code} {answer.text}")
            time.sleep(PAUSE)

    with ThreadPoolExecutor(len(asks)) as pool:
        running = [pool.submit(ask, what) for what in asks]
        try:
            for process in doubled.run()["processes"]:
                if process["kind"] == "web" or process["number"] == 1 and process["kind"] == "worker":
                    _restart(doubled, process["health_port"])
        finally:
            over.set()
        for each in running:
            each.result()
    assert failed == []
    assert len(served) > 10 * len(catalog())


def test_a_process_that_ends_says_that_it_is_not_ready(doubled: Shop) -> None:
    process = doubled.process("users", "web")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(doubled.shopper)
        os.kill(process["pid"], signal.SIGTERM)
        eventually(lambda: not is_ready(process["port"], process["health_port"]))
        slow.result()
    eventually(lambda: is_ready(process["port"], process["health_port"]))


def _restart(shop: Shop, health_port: int) -> None:
    """Tell a process to end, and wait until the one in its place is ready."""

    def entry() -> dict[str, int]:
        return next(each for each in shop.run()["processes"] if each["health_port"] == health_port)

    pid = entry()["pid"]
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: entry()["pid"] != pid, 30)
    eventually(lambda: is_ready(0, health_port), 30)
