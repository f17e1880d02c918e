"""The store on a MongoDB that is killed or paused, and a service that starts while there is none."""

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from chassis import deadline
from chassis.store import Collection, Duplicate, Index, StoreUnavailable
from chassis.store.mongodb.client import REQUEST_TIMEOUT_S
from chassis.store.mongodb.store import MongodbStore
from services.users.repository import accounts
from tests import engines
from tests.engines import Engine
from tests.sizes import by_form
from tests.system.running import ROOT, eventually, free_port

WRITERS = 6
KILLS = 3
PAUSE_S = by_form(8.0, 20.0)
REJECTED_IN_S = 1.0
MARGIN = 2.0  # seconds that a busy machine may add
DEADLINE = 5.0
RECOVERY_S = 60.0


@pytest.fixture
def server() -> Iterator[Engine]:
    server = Engine("mongodb", f"{engines.worker()}-faults")
    server.wipe()
    yield server
    server.wipe()


@pytest.fixture
def docs(server: Engine) -> Iterator[Collection]:
    docs = Collection("docs", Index("email", unique=True, partial={"email": {"$exists": True}}), Index("writer", "n"))
    docs.attach(MongodbStore(server.up(), "faults")).ensure_indexes()
    yield docs
    docs.store.close()


def until_done(work: Callable[[], Any], failures: list[float]) -> Any:
    """Repeat `work` until it succeeds, and return its result; append the seconds of each failure to `failures`."""
    while True:
        started = time.monotonic()
        try:
            with deadline.within(DEADLINE):
                return work()
        except StoreUnavailable:
            failures.append(time.monotonic() - started)


class Writer:
    """Inserts and increments, repeats what failed under guards and unique ids, and remembers what succeeded."""

    def __init__(self, docs: Collection, name: str) -> None:
        self.docs, self.name = docs, name
        self.inserted: list[str] = []
        self.counted = 0
        self.failures: list[float] = []

    def write(self, over: threading.Event) -> None:
        until_done(self._begin, self.failures)
        while not over.is_set():
            until_done(self._insert, self.failures)
            until_done(self._count, self.failures)

    def check(self) -> None:
        doc = self.docs.get(self.name)
        assert doc is not None
        assert doc["n"] == self.counted
        assert doc["each"] == list(range(1, self.counted + 1)), "each exactly once"
        there = [each["_id"] for each in self.docs.iterate({"writer": self.name})]
        assert sorted(there) == sorted(self.inserted)

    def _begin(self) -> None:
        try:
            self.docs.insert({"_id": self.name, "n": 0, "each": []})
        except Duplicate:
            pass  # the first try had succeeded

    def _insert(self) -> None:
        id = f"{self.name}-{self.counted:05}"
        try:
            self.docs.insert({"_id": id, "writer": self.name, "n": self.counted, "email": f"{id}@x"})
        except Duplicate as error:
            assert error.field == "_id"
        self.inserted.append(id)

    def _count(self) -> None:
        n = self.counted + 1
        update = {"$inc": {"n": 1}, "$push": {"each": n}}
        found = self.docs.update(self.name, update, when={"n": n - 1}) or self.docs.get(self.name)
        assert found is not None
        assert found["n"] == n
        self.counted = n


def write_during(docs: Collection, disturb: Callable[[list[Writer]], None]) -> list[Writer]:
    """Let writers write while `disturb` does something to the server. Return them."""
    over = threading.Event()
    writers = [Writer(docs, f"w{number}") for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        ends = [pool.submit(writer.write, over) for writer in writers]
        try:
            disturb(writers)
        finally:
            over.set()
    for end in ends:
        end.result()
    return writers


def increments(writers: list[Writer]) -> int:
    return sum(writer.counted for writer in writers)


def test_killed_server_loses_and_repeats_no_write(server: Engine, docs: Collection) -> None:
    def kill(writers: list[Writer]) -> None:
        for _ in range(KILLS):
            before = increments(writers)
            eventually(lambda before=before: increments(writers) > before + 100, 60)
            server.kill()
            server.start()
        before = increments(writers)
        eventually(lambda: increments(writers) > before + 100, 60)

    writers = write_during(docs, kill)
    assert sum(len(writer.failures) for writer in writers) >= KILLS
    for writer in writers:
        writer.check()


def test_paused_server_is_waited_for_once(server: Engine, docs: Collection) -> None:
    def pause(writers: list[Writer]) -> None:
        eventually(lambda: increments(writers) > 100, 60)
        server.pause()
        time.sleep(PAUSE_S)
        server.resume()
        before, back = increments(writers), time.monotonic()
        eventually(lambda: increments(writers) > before + 100, 60)
        print(f"\nback {time.monotonic() - back:.1f} s after it was resumed")

    writers = write_during(docs, pause)
    first = statistics.median(writer.failures[0] for writer in writers)
    durations = sorted(seconds for writer in writers for seconds in writer.failures[1:])
    print(f"refused: first in {first:.2f} s, then {len(durations)} times, all in {durations[-1]:.2f} s")
    assert first < REQUEST_TIMEOUT_S + MARGIN, "a silent server may be busy"
    assert len(durations) >= WRITERS * PAUSE_S / 2
    assert statistics.median(durations) < REJECTED_IN_S
    for writer in writers:
        writer.check()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[str, str], "Process"]]:
    """A function that starts `mercato <kind> users` on the store of a URI."""
    started: list[Process] = []

    def start(kind: str, uri: str) -> Process:
        started.append(Process(kind, uri, tmp_path))
        return started[-1]

    yield start
    for each in started:
        each.kill()


class Process:
    def __init__(self, kind: str, uri: str, folder: Path) -> None:
        self.port, self.health_port = free_port(), free_port()
        settings = {"MONGODB_URI": uri, "DATA_DIR": str(folder), "HOST": "127.0.0.1", "PLATFORM_SECRET": "x" * 32}
        ports = {"PORT": str(self.port), "HEALTH_PORT": str(self.health_port), "PYTHONPATH": str(ROOT)}
        self.log = folder / f"{kind}.log"
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "mercato.cli", kind, "users"]
            self._process = subprocess.Popen(
                command, env=os.environ | settings | ports, stdout=log, stderr=log, start_new_session=True
            )

    def probes(self) -> list[int]:
        """Return the status codes of liveness, startup and readiness; none before the process listens."""
        url = f"http://127.0.0.1:{self.health_port}"
        try:
            return [requests.get(f"{url}/{each}", timeout=20).status_code for each in ("livez", "startupz", "readyz")]
        except requests.ConnectionError:
            return []

    def store_unavailable_s(self) -> float:
        """Return the metric that StoreDown reads, of reads and writes."""
        text = requests.get(f"http://127.0.0.1:{self.health_port}/metrics", timeout=20).text
        return max(map(float, re.findall(r"^mercato_store_unavailable_seconds{.*} (\S+)$", text, re.M)))

    def sign_up(self, name: str) -> requests.Response:
        body = {"email": f"{name}@example.com", "name": name, "password": "correct horse battery"}
        return requests.post(f"http://127.0.0.1:{self.port}/api/users", json=body, timeout=30)

    def end(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def test_service_starts_before_its_store_and_recovers(server: Engine, process: Callable[[str, str], Process]) -> None:
    uri = server.up()
    server.down()
    web, worker, other = process("web", uri), process("worker", uri), process("worker", uri)
    for each in (web, worker, other):
        eventually(lambda each=each: each.probes() == [200, 503, 503])
    started = time.monotonic()
    refused = web.sign_up("ann")
    assert time.monotonic() - started < REJECTED_IN_S + MARGIN
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    time.sleep(PAUSE_S)
    for each in (web, worker, other):
        assert each.probes() == [200, 503, 503], "still alive"
        assert each.store_unavailable_s() > PAUSE_S
    assert other.end() == 0
    server.start()
    for each in (web, worker):
        eventually(lambda each=each: each.probes() == [200, 200, 200], RECOVERY_S)
        assert each.store_unavailable_s() == 0
    assert web.sign_up("ann").status_code == 201
    accounts.attach(MongodbStore(uri, "users")).ensure_indexes()
    eventually(lambda: not accounts.find({"pending": {"$gt": 0}}))
    assert len(accounts.find()) == 1
    accounts.store.close()
    assert "Traceback" not in web.log.read_text() + worker.log.read_text()
