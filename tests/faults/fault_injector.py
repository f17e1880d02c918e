"""Fault injection: each method breaks one thing, heals it, and checks that the platform has recovered.

kill     SIGKILL; recovered when a new process is ready; an engine is restarted after a while
pause    SIGSTOP for longer than every lease, at a moment without a lock on the store; then SIGCONT
fill     the processes of a service cannot write to any file (RLIMIT_FSIZE), as on a full disk
pulse    the processes of a service stop and go on, again and again: a slow upstream
drip     clients send their request byte by byte
poison   malformed records, and a handler that fails until it is repaired
"""

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import requests

from chassis import clock
from chassis.bus import Record
from mercato.catalog import catalog
from mercato.local.probes import is_ready
from tests.engines import Engine
from tests.faults.load import RESPONSE_TIMEOUT_S, Shopper
from tests.faults.replica import child_pids, paused
from tests.faults.scenario import Scenario
from tests.faults.schedule import Fault
from tests.system.platform import PASSWORD, eventually

RECOVERY_TIMEOUT_S = 60.0
"""A process that has died again and again is restarted after an ever longer pause."""
PROBE_TIMEOUT_S = 20.0
DRIPPING_CLIENTS = 20
CUT_TIMEOUT_S = 60.0
"""The edge closes the connections of dripping clients within this time."""


class FaultInjector:
    """Faults on the platform of a scenario. `shopper` is not used by any load."""

    def __init__(self, scenario: Scenario, shopper: Shopper) -> None:
        self.scenario, self.shop, self._shopper = scenario, scenario.shop, shopper

    def inject(self, fault: Fault) -> None:
        """Break something and heal it.

        Raises:
            AssertionError: the fault had another effect than it must, or the platform did not recover.
        """
        if fault.kind == "engine":
            self._break_engine(fault)
        else:
            getattr(self, fault.what)(fault)

    def kill(self, fault: Fault) -> None:
        kind = {"": "router", "master": "web"}.get(fault.kind, fault.kind)
        record = self.shop.process(fault.name, kind)
        victim = self._pid(fault.name, fault.kind)
        os.kill(victim, signal.SIGKILL)

        def has_recovered() -> bool:
            now = self.shop.process(fault.name, kind)
            if fault.kind == "web" and now["pid"] == record["pid"]:
                return victim not in child_pids(now["pid"]) and is_ready(record["port"], record["health_port"])
            return now["pid"] != victim and is_ready(record["port"], record["health_port"])

        eventually(has_recovered, RECOVERY_TIMEOUT_S)

    def pause(self, fault: Fault) -> None:
        with paused(self.shop, fault.name, self._pid(fault.name, fault.kind)):
            time.sleep(fault.duration_s)  # the fault itself

    def fill(self, fault: Fault) -> None:
        processes = self._processes(fault.name)
        with full_disk(list(processes)):
            until = time.monotonic() + fault.duration_s
            while time.monotonic() < until:
                response = self._write_to(fault.name)
                if response is not None:
                    assert response.status_code == 503, f"{fault}: {response.status_code} {response.text}"
                    assert int(response.headers["Retry-After"]) >= 1
                for kind in ("web", "worker"):
                    live = requests.get(f"{self.shop.health_url_of(fault.name, kind)}/livez", timeout=PROBE_TIMEOUT_S)
                    assert live.status_code == 200, f"{fault}: the {kind} process is not live"
                time.sleep(0.2)  # between two probes
        assert self._processes(fault.name) == processes, f"{fault}: a process has ended"
        eventually(lambda: (response := self._write_to(fault.name)) is None or response.ok, RECOVERY_TIMEOUT_S)

    def pulse(self, fault: Fault) -> None:
        until = time.monotonic() + fault.duration_s
        while time.monotonic() < until:
            with self.shop.frozen(fault.name):
                time.sleep(0.3)  # the fault itself: the processes stand still most of the time
            time.sleep(0.1)  # and run in between

    def drip(self, fault: Fault) -> None:
        edge = urlsplit(self.shop.url)
        clients = [socket.create_connection((edge.hostname, edge.port), 5) for _ in range(DRIPPING_CLIENTS)]
        try:
            for client in clients[::2]:
                client.sendall(b"POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n")
            connected, began, served_meanwhile = clients, time.monotonic(), 0
            while connected and time.monotonic() - began < CUT_TIMEOUT_S:
                response = requests.get(f"{self.shop.url}/api/products", timeout=RESPONSE_TIMEOUT_S)
                assert response.status_code in (200, 503)
                connected = [client for client in connected if _send_byte(client)]
                served_meanwhile += bool(connected)
                time.sleep(0.5)  # between two bytes
            assert not connected, f"{fault}: {len(connected)} dripping clients were not cut"
            assert served_meanwhile, f"{fault}: no other client was served meanwhile"
        finally:
            for client in clients:
                client.close()

    def poison(self, fault: Fault) -> None:
        key = clock.new_id()
        self.scenario.poison.add(key)
        with closing(self.shop.bus()) as bus:
            assert bus.publish([Record("orders.events", key, b"\x00 no event", {})], timeout_s=10) == [None]
        buyer = self._shopper.buyer
        with failing_handler(self.scenario, fault.name, buyer.id):
            self._shopper.shop_once()
            order = self.scenario.place_order(buyer, self._shopper.abundant_product, timeout_s=RESPONSE_TIMEOUT_S)
            self.scenario.final_status(order)
            eventually(lambda: self._is_parked(fault.name, order), RECOVERY_TIMEOUT_S)
            self.kill(Fault("kill", fault.name, "worker"))
        while self._has_blocked_keys(fault.name):
            redrive = self.shop.mercato("dlq", "redrive", "--service", fault.name)
            assert redrive.returncode == 0, redrive.stderr
            eventually(lambda: not self._is_redriving(fault.name), RECOVERY_TIMEOUT_S)

    def _break_engine(self, fault: Fault) -> None:
        assert self.shop.engines
        engine: Engine = getattr(self.shop.engines, fault.name)
        if fault.what == "kill":
            engine.kill()
            time.sleep(fault.duration_s)  # the fault itself
            engine.start()
        else:
            engine.pause()
            time.sleep(fault.duration_s)  # the fault itself
            engine.resume()
        for name in catalog():
            record = self.shop.process(name, "web")
            eventually(lambda record=record: is_ready(record["port"], record["health_port"]), RECOVERY_TIMEOUT_S)

    def _pid(self, name: str, kind: str) -> int:
        if name == "router":
            return int(self.shop.process("router", "router")["pid"])
        if kind == "web":
            return int(eventually(lambda: child_pids(self.shop.process(name, "web")["pid"]))[0])
        return int(self.shop.process(name, "web" if kind == "master" else kind)["pid"])

    def _processes(self, name: str) -> list[int]:
        web = self.shop.process(name, "web")["pid"]
        return [web, *child_pids(web), self.shop.process(name, "worker")["pid"]]

    def _write_to(self, name: str) -> requests.Response | None:
        """Send a write to a service through the edge; return None if it has no such route or does not respond."""
        key = clock.new_id()
        buyer, admin = self._shopper.buyer, self._shopper.admin
        order = {"productId": self._shopper.abundant_product["id"], "quantity": 1}
        product = {"name": "Pan", "price": "1.00", "stock": 1}
        person = {"email": f"{key.lower()}@example.com", "name": "Eve", "password": PASSWORD}
        writes = {
            "orders": lambda: buyer.post("/api/orders", order, key=key),
            "products": lambda: admin.post("/api/products", product, key=key),
            "users": lambda: buyer.post("/api/users", person, key=key),
        }
        return self.scenario.send_once(name.removesuffix("s"), key, writes[name]) if name in writes else None

    def _dead_letters(self, name: str) -> list[dict[str, object]]:
        return self.shop.documents(name, "dead_letters")

    def _is_parked(self, name: str, key: str) -> bool:
        return any(each["key"] == key for each in self._dead_letters(name))

    def _has_blocked_keys(self, name: str) -> bool:
        return any(each["blocks"] for each in self._dead_letters(name))

    def _is_redriving(self, name: str) -> bool:
        return any(each["redrive"] for each in self._dead_letters(name))


@contextmanager
def full_disk(pids: list[int]) -> Iterator[None]:
    """Keep these processes from writing to any file."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, hard_limit) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard_limit))
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):  # the caller notices that it has died
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def failing_handler(scenario: Scenario, service: str, word: str) -> Iterator[None]:
    """Let every insert of a document that contains `word` fail: see `inject/sitecustomize.py`."""
    path = scenario.shop.data / f"defect.{service}"
    path.write_text(word)
    try:
        yield
    finally:
        path.unlink()


def _send_byte(client: socket.socket) -> bool:
    """Send one more byte; return whether the connection is still open and without a response."""
    try:
        client.settimeout(PROBE_TIMEOUT_S)
        client.sendall(b"x")
        client.setblocking(False)
        client.recv(1000)  # a response, or the end
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
