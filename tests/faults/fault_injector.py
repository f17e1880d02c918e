"""What a fault does to a platform: each method breaks one thing, heals it, and sees that it is whole again.

kill     SIGKILL; back when another process is in its place and ready; an engine is started again after a while
pause    SIGSTOP for longer than every lease, at a moment without a lock of the store; then SIGCONT
fill     no file of the service's processes takes a byte (RLIMIT_FSIZE), as on a disk that is full
pulse    a service that stops and goes on, again and again: a callee that is slow
drip     clients that send a byte now and then
poison   records that nobody can read, and a handler that fails until it is mended
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
from tests.faults.load import PATIENCE, Shopper
from tests.faults.replica import child_pids, paused
from tests.faults.scenario import Scenario
from tests.faults.schedule import Fault
from tests.system.platform import eventually

BACK = 30.0
"""Seconds in which a process is back; one that has died again and again is restarted ever later."""
SLOW_CLIENTS = 20
CUT = 15.0
"""Seconds after which a slow client has been cut."""


class FaultInjector:
    """`shopper` is one that no load uses."""

    def __init__(self, scenario: Scenario, shopper: Shopper) -> None:
        self.scenario, self.shop, self._shopper = scenario, scenario.shop, shopper

    def do(self, fault: Fault) -> None:
        """Break it and heal it. AssertionError where it did not break or heal as it must."""
        if fault.kind == "engine":
            self._engine(fault)
        else:
            getattr(self, fault.what)(fault)

    def kill(self, fault: Fault) -> None:
        kind = {"": "router", "master": "web"}.get(fault.kind, fault.kind)
        record = self.shop.process(fault.name, kind)
        victim = self._pid(fault.name, fault.kind)
        os.kill(victim, signal.SIGKILL)

        def back() -> bool:
            now = self.shop.process(fault.name, kind)
            if fault.kind == "web" and now["pid"] == record["pid"]:
                return victim not in child_pids(now["pid"]) and is_ready(record["port"], record["health_port"])
            return now["pid"] != victim and is_ready(record["port"], record["health_port"])

        eventually(back, BACK)

    def pause(self, fault: Fault) -> None:
        with paused(self.shop, fault.name, self._pid(fault.name, fault.kind)):
            time.sleep(fault.lasts)  # the fault itself

    def fill(self, fault: Fault) -> None:
        processes = self._processes(fault.name)
        with full(list(processes)):
            until = time.monotonic() + fault.lasts
            while time.monotonic() < until:
                answer = self._write_to(fault.name)
                if answer is not None:
                    assert answer.status_code == 503, f"{fault}: {answer.status_code} {answer.text}"
                    assert int(answer.headers["Retry-After"]) >= 1
                for kind in ("web", "worker"):
                    alive = requests.get(f"{self.shop.health(fault.name, kind)}/livez", timeout=5)
                    assert alive.status_code == 200, f"{fault}: the {kind} is not alive"
                time.sleep(0.2)  # how often it is looked at
        assert self._processes(fault.name) == processes, f"{fault}: a process has ended"
        eventually(lambda: (answer := self._write_to(fault.name)) is None or answer.ok, BACK)

    def pulse(self, fault: Fault) -> None:
        until = time.monotonic() + fault.lasts
        while time.monotonic() < until:
            with self.shop.frozen(fault.name):
                time.sleep(0.3)  # the fault itself: most of the time it stands still
            time.sleep(0.1)  # and runs in between

    def drip(self, fault: Fault) -> None:
        where = urlsplit(self.shop.url)
        slow = [socket.create_connection((where.hostname, where.port), 5) for _ in range(SLOW_CLIENTS)]
        try:
            for one in slow[::2]:
                one.sendall(b"POST /api/orders HTTP/1.1\r\nHost: shop\r\nContent-Length: 100\r\n\r\n")
            left, began, asked = slow, time.monotonic(), 0
            while left and time.monotonic() - began < CUT:
                left = [one for one in left if _dripped(one)]
                assert requests.get(f"{self.shop.url}/api/products", timeout=PATIENCE).status_code in (200, 503)
                asked += 1
                time.sleep(0.5)  # how slowly they send
            assert not left, f"{fault}: {len(left)} slow clients were not cut"
            assert asked > CUT / 5, f"{fault}: others had to wait"
        finally:
            for one in slow:
                one.close()

    def poison(self, fault: Fault) -> None:
        key = clock.new_id()
        self.scenario.poison.add(key)
        with closing(self.shop.bus()) as bus:
            assert bus.publish([Record("orders.events", key, b"\x00 no event", {})], timeout_s=10) == [None]
        buyer = self._shopper.buyer
        with defect(self.scenario, fault.name, buyer.id):
            self._shopper.turn()
            order = self.scenario.place_order(buyer, self._shopper.plenty, within=PATIENCE)
            self.scenario.final_status(order)
            eventually(lambda: self._parked(fault.name, order), BACK)
            self.kill(Fault("kill", fault.name, "worker"))
        while self._waits(fault.name):
            said = self.shop.mercato("dlq", "redrive", "--service", fault.name)
            assert said.returncode == 0, said.stderr
            eventually(lambda: not self._asked(fault.name), BACK)

    def _engine(self, fault: Fault) -> None:
        assert self.shop.engines
        engine: Engine = getattr(self.shop.engines, fault.name)
        if fault.what == "kill":
            engine.kill()
            time.sleep(fault.lasts)  # the fault itself
            engine.start()
        else:
            engine.pause()
            time.sleep(fault.lasts)  # the fault itself
            engine.resume()
        for name in catalog():
            record = self.shop.process(name, "web")
            eventually(lambda record=record: is_ready(record["port"], record["health_port"]), BACK)

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
        """Ask a service to store something at the edge; None where it has no such route, or nobody knows."""
        key = clock.new_id()
        buyer, admin = self._shopper.buyer, self._shopper.admin
        order = {"productId": self._shopper.plenty["id"], "quantity": 1}
        product = {"name": "Pan", "price": "1.00", "stock": 1}
        person = {"email": f"{key.lower()}@example.com", "name": "Eve", "password": key}
        asks = {
            "orders": lambda: buyer.post("/api/orders", order, key=key),
            "products": lambda: admin.post("/api/products", product, key=key),
            "users": lambda: buyer.post("/api/users", person, key=key),
        }
        return self.scenario.send_once(name.removesuffix("s"), key, asks[name]) if name in asks else None

    def _letters(self, name: str) -> list[dict[str, object]]:
        return self.shop.documents(name, "dead_letters")

    def _parked(self, name: str, key: str) -> bool:
        return any(letter["key"] == key for letter in self._letters(name))

    def _waits(self, name: str) -> bool:
        return any(letter["blocks"] for letter in self._letters(name))

    def _asked(self, name: str) -> bool:
        return any(letter["redrive"] for letter in self._letters(name))


@contextmanager
def full(pids: list[int]) -> Iterator[None]:
    """Inside, these processes can write to no file."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, most) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, most))
        yield
    finally:
        for pid, limits in before.items():
            with suppress(ProcessLookupError):  # one that has died is seen by who asked
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def defect(scenario: Scenario, service: str, word: str) -> Iterator[None]:
    """Inside, no document of the service with this word in it can be made: see `inject/sitecustomize.py`."""
    path = scenario.shop.data / f"defect.{service}"
    path.write_text(word)
    try:
        yield
    finally:
        path.unlink()


def _dripped(client: socket.socket) -> bool:
    """Send one more byte; whether the other side still waits for more."""
    try:
        client.settimeout(5)
        client.sendall(b"x")
        client.setblocking(False)
        client.recv(1000)  # an answer, or the end
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
