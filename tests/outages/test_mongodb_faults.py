"""The store on a MongoDB that is killed or paused, and a service that starts while there is none."""

import os
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
PAUSED = by_form(8.0, 20.0)
REFUSED_IN = 1.0
MARGIN = 2.0  # seconds that a busy machine may add
DEADLINE = 5.0
BACK = 60.0


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


def until_done(work: Callable[[], Any], refused: list[float]) -> Any:
    """What `work` returns at last; how long each refusal took is noted."""
    while True:
        began = time.monotonic()
        try:
            with deadline.within(DEADLINE):
                return work()
        except StoreUnavailable:
            refused.append(time.monotonic() - began)


class Writer:
    """Inserts and counts, repeating what is not known under guards and unique ids, and remembers what it was told."""

    def __init__(self, docs: Collection, name: str) -> None:
        self.docs, self.name = docs, name
        self.inserted: list[str] = []
        self.counted = 0
        self.refused: list[float] = []

    def write(self, over: threading.Event) -> None:
        until_done(self._begin, self.refused)
        while not over.is_set():
            until_done(self._insert, self.refused)
            until_done(self._count, self.refused)

    def judge(self) -> None:
        doc = self.docs.get(self.name)
        assert doc is not None
        assert doc["n"] == self.counted
        assert doc["each"] == list(range(1, self.counted + 1)), "each once, none lost"
        there = [each["_id"] for each in self.docs.iterate({"writer": self.name})]
        assert sorted(there) == sorted(self.inserted)

    def _begin(self) -> None:
        try:
            self.docs.insert({"_id": self.name, "n": 0, "each": []})
        except Duplicate:
            pass  # it was done the first time

    def _insert(self) -> None:
        id = f"{self.name}-{self.counted:05}"
        try:
            self.docs.insert({"_id": id, "writer": self.name, "n": self.counted, "email": f"{id}@x"})
        except Duplicate as error:
            assert error.field == "_id"
        self.inserted.append(id)

    def _count(self) -> None:
        n = self.counted + 1
        change = {"$inc": {"n": 1}, "$push": {"each": n}}
        found = self.docs.update(self.name, change, when={"n": n - 1}) or self.docs.get(self.name)
        assert found is not None
        assert found["n"] == n
        self.counted = n


def written(docs: Collection, meanwhile: Callable[[list[Writer]], None]) -> list[Writer]:
    """Writers that wrote while something happened to the server."""
    over = threading.Event()
    writers = [Writer(docs, f"w{number}") for number in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        ends = [pool.submit(writer.write, over) for writer in writers]
        try:
            meanwhile(writers)
        finally:
            over.set()
    for end in ends:
        end.result()
    return writers


def count(writers: list[Writer]) -> int:
    return sum(writer.counted for writer in writers)


def test_killed_server_loses_and_repeats_no_write(server: Engine, docs: Collection) -> None:
    def kill(writers: list[Writer]) -> None:
        for _ in range(KILLS):
            before = count(writers)
            eventually(lambda before=before: count(writers) > before + 100, 60)
            server.kill()
            server.start()
        before = count(writers)
        eventually(lambda: count(writers) > before + 100, 60)

    writers = written(docs, kill)
    assert sum(len(writer.refused) for writer in writers) >= KILLS
    for writer in writers:
        writer.judge()


def test_paused_server_is_waited_for_once(server: Engine, docs: Collection) -> None:
    def pause(writers: list[Writer]) -> None:
        eventually(lambda: count(writers) > 100, 60)
        server.pause()
        time.sleep(PAUSED)
        server.resume()
        before, back = count(writers), time.monotonic()
        eventually(lambda: count(writers) > before + 100, 60)
        print(f"\nback {time.monotonic() - back:.1f} s after it was resumed")

    writers = written(docs, pause)
    first = statistics.median(writer.refused[0] for writer in writers)
    took = sorted(seconds for writer in writers for seconds in writer.refused[1:])
    print(f"refused: first in {first:.2f} s, then {len(took)} times, all in {took[-1]:.2f} s")
    assert first < REQUEST_TIMEOUT_S + MARGIN, "it might have been busy"
    assert len(took) >= WRITERS * PAUSED / 2
    assert statistics.median(took) < REFUSED_IN
    for writer in writers:
        writer.judge()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[str, str], "Process"]]:
    """Starts `mercato <kind> users` on a store of this address."""
    begun: list[Process] = []

    def start(kind: str, uri: str) -> Process:
        begun.append(Process(kind, uri, tmp_path))
        return begun[-1]

    yield start
    for each in begun:
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
        """The answers to liveness, startup and readiness; none while nobody listens."""
        url = f"http://127.0.0.1:{self.health_port}"
        try:
            return [requests.get(f"{url}/{each}", timeout=20).status_code for each in ("livez", "startupz", "readyz")]
        except requests.ConnectionError:
            return []

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
    began = time.monotonic()
    refused = web.sign_up("ann")
    assert time.monotonic() - began < REFUSED_IN + MARGIN
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    time.sleep(PAUSED)
    for each in (web, worker, other):
        assert each.probes() == [200, 503, 503], "still alive"
    assert other.end() == 0
    server.start()
    for each in (web, worker):
        eventually(lambda each=each: each.probes() == [200, 200, 200], BACK)
    assert web.sign_up("ann").status_code == 201
    accounts.attach(MongodbStore(uri, "users")).ensure_indexes()
    eventually(lambda: not accounts.find({"pending": {"$gt": 0}}))
    assert len(accounts.find()) == 1
    accounts.store.close()
    assert "Traceback" not in web.log.read_text() + worker.log.read_text()
