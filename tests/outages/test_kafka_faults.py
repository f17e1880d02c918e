"""Events over a failing Kafka, with real processes: outbox and relay, topic, consumers with their inbox.

Whatever is killed, every committed event is published in order and has its effect exactly once; parked events are not
lost. The documents are in SQLite, because these tests are about Kafka.
"""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import requests
from kafka import KafkaAdminClient

from chassis import clock
from chassis.bus import Record, Topic
from chassis.bus.kafka.bus import KafkaBus
from chassis.events import dead_letters, envelope, inbox, outbox
from chassis.events.batch_progress import progress
from chassis.events.consumer import Consumer
from chassis.events.envelope import Meta
from chassis.events.outbox import EmbeddedOutbox
from chassis.events.relay import Relay
from chassis.messages import Event
from chassis.store import Collection, Duplicate, merge_updates
from chassis.store.sqlite.store import SqliteStore
from tests.engines import Engine, worker
from tests.sizes import by_form
from tests.system.running import free_port

COUNTERS, EACH = by_form(500, 2000), 10
POISONED = 5
"""Counters whose events no consumer can handle until the defect is fixed."""
WRITE_S = by_form(10.0, 20.0)
"""Time over which the counters are written."""
SETTLED = 90.0
COPIES = 10_000
LEASE, SESSION = 4.0, 6.0

pytestmark = pytest.mark.timeout(300)

_spawn = multiprocessing.get_context("spawn")


class Counted(Event, type="counter.counted", key="counter"):
    """A counter was incremented."""

    counter: str
    step: int


Counted.service = "counters"


@dataclass(frozen=True)
class Place:
    """What the processes share: a folder, a broker, and names of their own."""

    folder: Path
    servers: str
    name: str = field(default_factory=lambda: clock.new_id().lower())

    @property
    def topic(self) -> str:
        return f"{self.name}.events"

    @property
    def fixed(self) -> Path:
        """A file that exists once every event can be handled."""
        return self.folder / "fixed"

    def bus(self) -> KafkaBus:
        return KafkaBus(self.servers, session_s=SESSION)

    def collections(self, file: str, *names: str) -> tuple[Collection, ...]:
        store = SqliteStore(self.folder / file)
        collections = tuple(Collection(name, outbox.PENDING_INDEX) for name in names)
        for collection in (*collections, dead_letters.collection, progress):
            collection.attach(store).ensure_indexes()
        return collections


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[Engine, str]]:
    engine = Engine("kafka", f"{worker()}-load")
    yield engine, engine.up()
    engine.wipe()


@pytest.fixture
def place(tmp_path: Path, broker: tuple[Engine, str]) -> Place:
    place = Place(tmp_path, broker[1])
    with closing(place.bus()) as bus:
        bus.ensure_topics([Topic(place.topic, 4)])
    return place


@contextmanager
def _running(work: Callable[..., None], place: Place) -> Iterator[Any]:
    process = _spawn.Process(target=work, args=(place,), daemon=True)
    process.start()
    try:
        yield process
    finally:
        if process.is_alive():
            process.kill()
        process.join()


def _run_until_sigterm(work: Callable[[threading.Event], None]) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    work(stop)


def relay(place: Place) -> None:
    """Relay until SIGTERM."""
    counters, leases = place.collections("writers.db", "counters", "leases")
    with closing(place.bus()) as bus:
        _run_until_sigterm(Relay([EmbeddedOutbox(place.name, counters)], bus, leases, LEASE, poll_s=0.1).run)


def consume(place: Place) -> None:
    """Append the number of each event to its counter's document, until SIGTERM."""
    (seen,) = place.collections("readers.db", "seen")

    def apply(event: Counted, meta: Meta) -> None:
        if event.counter.startswith("poisoned") and not place.fixed.exists():
            raise ValueError("a defect")
        try:
            seen.insert({"_id": event.counter, "numbers": [meta.sequence], "last_seq": {meta.source: meta.sequence}})
        except Duplicate:
            update = merge_updates({"$push": {"numbers": meta.sequence}}, inbox.mark_applied(meta))
            seen.update(event.counter, update, when=inbox.not_applied(meta))

    with closing(place.bus()) as bus:
        _run_until_sigterm(Consumer(bus.consumer("readers", [place.topic]), {Counted: apply}).run)


def test_killed_processes_lose_and_repeat_no_event(place: Place, broker: tuple[Engine, str]) -> None:
    counters, _ = place.collections("writers.db", "counters", "leases")
    (seen,) = place.collections("readers.db", "seen")
    ids = [f"{'poisoned' if n < POISONED else 'c'}-{n}" for n in range(COUNTERS)]
    writer = threading.Thread(target=_write, args=(counters, ids))
    with _running(relay, place) as first, _running(consume, place) as steady, _running(consume, place) as killed:
        writer.start()
        time.sleep(WRITE_S / 4)
        broker[0].kill()
        time.sleep(2)
        broker[0].start()
        _during_a_batch(seen, killed.kill)
        with _running(consume, place) as leaves:
            time.sleep(5)
            first.kill()
            leaves.terminate()
            leaves.join(60)
            assert leaves.exitcode == 0
        with _running(relay, place), _running(consume, place) as joins:
            time.sleep(5)
            joins.terminate()
            writer.join()
            with _running(consume, place):
                _eventually(lambda: not counters.find({"pending": {"$gt": 0}}, limit=1))
                published = _read_all(place)
                _eventually(lambda: _handled(seen) == COUNTERS * EACH)
                parked = Counter(dead_letter["key"] for dead_letter in dead_letters.collection.iterate())
                assert parked == dict.fromkeys(ids[:POISONED], EACH)
                place.fixed.touch()
                for id in ids[:POISONED]:
                    dead_letters.request_redrive(dead_letters.of_key(place.topic, id)[0])
                _eventually(lambda: not list(dead_letters.collection.iterate()))
            assert steady.is_alive()
    wanted = list(range(1, EACH + 1))
    for id in ids:
        assert list(dict.fromkeys(published[id])) == wanted, "published, and in order at the first time"
        assert seen.get(id)["numbers"] == wanted, "applied once, in order"
    copies = sum(map(len, published.values())) - COUNTERS * EACH
    print(f"\n{COUNTERS * EACH} events, {copies} of them published twice")


def test_ten_thousand_duplicates_have_no_effect(place: Place) -> None:
    random, ids, last = Random(1), [f"c-{n}" for n in range(500)], 6
    (seen,) = place.collections("readers.db", "seen")
    sent: list[Record] = []
    for step in range(1, last):
        for id in random.sample(ids, len(ids)):
            sent.append(_record(place, id, step))
            sent += random.choices(sent, k=COPIES // (len(ids) * (last - 1)))
    assert len(sent) == COPIES + len(ids) * (last - 1)
    sent += [_record(place, id, last) for id in ids]
    with _running(consume, place), _running(consume, place):
        with closing(place.bus()) as bus:
            for start in range(0, len(sent), 2000):
                assert set(bus.publish(sent[start : start + 2000], 30)) == {None}
        _eventually(lambda: sum(doc["numbers"][-1] == last for doc in seen.iterate()) == len(ids))
    assert {tuple(doc["numbers"]) for doc in seen.iterate()} == {tuple(range(1, last + 1))}


def test_worker_starts_without_kafka_and_recovers(tmp_path: Path, broker: tuple[Engine, str]) -> None:
    engine, servers = broker
    engine.kill()
    port = free_port()
    environment = {
        "DATA_DIR": str(tmp_path),
        "HOST": "127.0.0.1",
        "HEALTH_PORT": str(port),
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "PLATFORM_SECRET": "x" * 32,
    }
    command = [sys.executable, "-m", "mercato.cli", "worker", "notifications"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
    try:
        _eventually(lambda: _status(port, "/readyz") == 200)
        _eventually(lambda: b"message bus unavailable" in (tmp_path / "log").read_bytes())
        assert _status(port, "/livez") == 200
        _eventually(lambda: _bus_unavailable_s(port) > 1)
        engine.start()
        _eventually(lambda: _partitions(servers, "notifications.dead") == 4)
        _eventually(lambda: _bus_unavailable_s(port) == 0)
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    lines = [orjson.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
    assert not [line for line in lines if line["level"] == "error"]


def _write(counters: Collection, ids: list[str]) -> None:
    started = time.monotonic()
    for number, id in enumerate(ids, 1):
        counters.insert({"_id": id, **outbox.new_outbox(id, *(Counted(counter=id, step=step) for step in range(EACH)))})
        time.sleep(max(started + number * WRITE_S / len(ids) - time.monotonic(), 0))


def _record(place: Place, id: str, step: int) -> Record:
    return envelope.to_record(place.name, id, envelope.new_entry(Counted(counter=id, step=step), step))


def _during_a_batch(seen: Collection, act: Callable[[], None]) -> None:
    """Call `act` while consumers handle batches."""
    before = _handled(seen)
    _eventually(lambda: _handled(seen) > before)
    act()


def _handled(seen: Collection) -> int:
    """Return how many events are applied or parked."""
    return sum(len(doc["numbers"]) for doc in seen.iterate()) + len(list(dead_letters.collection.iterate()))


def _read_all(place: Place) -> dict[str, list[int]]:
    """Return the numbers of each key's events, in the order of the topic."""
    found: dict[str, list[int]] = {}
    with closing(place.bus()) as bus:
        member = bus.consumer(clock.new_id(), [place.topic])
        until = time.monotonic() + 60
        while len(member.lag()) < 4 or sum(member.lag().values()):
            assert time.monotonic() < until
            page = member.poll(1000, 1)
            for record in page:
                found.setdefault(record.key, []).append(int(record.headers["ce_sequence"]))
            member.commit({(record.topic, record.partition): record.offset + 1 for record in page})
        member.close()
    return found


def _status(port: int, path: str) -> int:
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=20).status_code
    except requests.ConnectionError:
        return 0


def _bus_unavailable_s(port: int) -> float:
    """Return the metric that BusUnavailable reads."""
    text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=20).text
    return float(re.findall(r"^mercato_bus_unavailable_seconds (\S+)$", text, re.M)[0])


def _partitions(servers: str, topic: str) -> int:
    with closing(KafkaAdminClient(bootstrap_servers=servers)) as admin:
        return len(admin.describe_topics([topic])[0]["partitions"])


def _eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SETTLED
    while not condition():
        assert time.monotonic() < until, "the condition does not become true"
        time.sleep(0.5)
