"""Faults that show in the metrics of a platform."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import requests

from chassis import clock
from chassis.calls.tokens import ServiceTokens
from chassis.events import envelope
from services.payments.messages import CancelPayment
from tests.observability.prometheus import Prometheus, processes
from tests.system.platform import Shop, eventually


def publish(shop: Shop, source: str, type: str, count: int = 1) -> None:
    """Publish `count` malformed events of this type, each with its own key."""
    waiting = {"seq": 1, "type": type, "time": clock.timestamp(), "data": {"orderId": 7}, "traceparent": ""}
    records = [envelope.to_record(source, clock.new_id(), waiting) for _ in range(count)]
    with closing(shop.bus()) as bus:
        assert bus.publish(records, timeout_s=5) == [None] * count


def late(shop: Shop) -> None:
    """Send calls whose deadline passes before the work begins: so many at once that each waits for the others."""
    token = ServiceTokens("orders", (shop.data / "secret").read_text().strip(), frozenset()).issue("payments")
    address = f"{shop.url_of('payments')}/internal/{CancelPayment.name}"
    slow_to_parse = {f"X-Filler-{number}": "x" for number in range(80)}
    headers = {"Authorization": f"Bearer {token}", "X-Deadline-Ms": "1", **slow_to_parse}

    def status(_: int) -> int:
        return requests.post(address, json={"orderId": clock.new_id()}, headers=headers, timeout=5).status_code

    with ThreadPoolExecutor(16) as clients:
        eventually(lambda: 504 in list(clients.map(status, range(64))))


@contextmanager
def locked(shop: Shop, file: str) -> Iterator[None]:
    """Block all other writers of this file; readers are not affected."""
    path = f"file:{shop.data / file}?mode=rw"
    with closing(sqlite3.connect(path, uri=True, isolation_level=None, timeout=20)) as held:
        held.execute("BEGIN IMMEDIATE")
        yield
        held.execute("ROLLBACK")


@contextmanager
def gone(shop: Shop, prometheus: Prometheus, name: str, kind: str) -> Iterator[None]:
    """Kill a process, keep it down, and remove it from the targets of Prometheus."""
    launcher, listed = int(shop.run()["pid"]), processes(shop)
    os.kill(launcher, signal.SIGSTOP)
    try:
        os.killpg(int(shop.process(name, kind)["pid"]), signal.SIGKILL)
        prometheus.watch([each for each in listed if (each["name"], each["kind"]) != (name, kind)])
        yield
    finally:
        os.kill(launcher, signal.SIGCONT)
        prometheus.watch(listed)
