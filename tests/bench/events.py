"""Throughput of events: outbox, relay, bus, consumer with its inbox, in three processes as on a platform."""

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from typing import Any

from chassis.bus import Topic
from chassis.bus.sqlite.bus import SqliteBus
from chassis.events import dead_letters, inbox, outbox
from chassis.events.batch_progress import progress
from chassis.events.consumer import Consumer
from chassis.events.envelope import Meta
from chassis.events.outbox import EmbeddedOutbox
from chassis.events.relay import Relay
from chassis.messages import Event
from chassis.store import Collection, merge_updates
from chassis.store.sqlite.store import SqliteStore

COUNTERS = [f"c{number}" for number in range(100)]
WRITERS = 4
_TIMEOUT_S = 300.0


class Counted(Event, type="counter.counted", key="counter"):
    """A counter was incremented."""

    counter: str
    step: int


def run(short: bool) -> list[dict[str, Any]]:
    """Measure events/s from the first commit to the last effect, and bare inserts/s into the same engine."""
    steps = 20 if short else 100
    with tempfile.TemporaryDirectory() as folder:
        rate = _events(Path(folder), steps)
    with tempfile.TemporaryDirectory() as folder:
        bare = _inserts(Path(folder), steps)
    return [
        {"name": "events, commit to effect", "value": rate, "unit": "events/s"},
        {"name": "bare synced inserts", "value": bare, "unit": "inserts/s"},
        {"name": "events / bare inserts", "value": rate / bare, "unit": ""},
    ]


def _events(folder: Path, steps: int) -> float:
    bus = SqliteBus(folder / "bus.db")
    bus.ensure_topics([Topic(f"{Counted.service}.events", 4), Topic(f"{Counted.service}.dead", 1)])
    bus.close()
    effects = Collection("effects")
    _attach(folder, "readers", effects)
    for counter in COUNTERS:
        effects.insert({"_id": counter, "steps": 0, **inbox.new_inbox(Counted.service)})
    spawn = multiprocessing.get_context("spawn")
    ready, done, stop = spawn.Barrier(3), spawn.Event(), spawn.Event()
    workers = [
        spawn.Process(target=_relay, args=(folder, ready, stop)),
        spawn.Process(target=_consume, args=(folder, len(COUNTERS) * steps, ready, done, stop)),
    ]
    for worker in workers:
        worker.start()
    try:
        counters = _counters(folder)
        ready.wait(60)
        begun = time.perf_counter()
        _in_writer_threads(lambda counter: _commit(counters, counter, steps))
        assert done.wait(_TIMEOUT_S), "the events did not arrive"
        took = time.perf_counter() - begun
    finally:
        stop.set()
        for worker in workers:
            worker.join(30)
    return len(COUNTERS) * steps / took


def _commit(counters: Collection, counter: str, steps: int) -> None:
    doc = {"_id": counter, "steps": 1, **outbox.new_outbox(counter, Counted(counter=counter, step=1))}
    counters.insert(doc)
    for step in range(2, steps + 1):
        appended, guard = outbox.append_event(doc, Counted(counter=counter, step=step))
        changed = counters.update(counter, merge_updates({"$set": {"steps": step}}, appended), when=guard)
        assert changed is not None
        doc = changed


def _relay(folder: Path, ready: Any, stop: Signal) -> None:
    leases = Collection("leases")
    counters = _counters(folder, leases)
    relay = Relay(
        [EmbeddedOutbox(Counted.service, counters)], SqliteBus(folder / "bus.db"), leases, lease_s=10, poll_s=0.1
    )
    ready.wait(60)
    _run_until(stop, relay.run)


def _consume(folder: Path, events: int, ready: Any, done: Signal, stop: Signal) -> None:
    effects = Collection("effects")
    _attach(folder, "readers", effects, dead_letters.collection, progress)
    left = events

    def count(event: Counted, meta: Meta) -> None:
        nonlocal left
        if effects.update(
            event.counter, merge_updates({"$inc": {"steps": 1}}, inbox.mark_applied(meta)), when=inbox.not_applied(meta)
        ):
            left -= 1
        if not left:
            done.set()

    member = SqliteBus(folder / "bus.db").consumer("readers", [f"{Counted.service}.events"])
    ready.wait(60)
    _run_until(stop, Consumer(member, {Counted: count}).run)


def _run_until(stop: Signal, work: Callable[[threading.Event], None]) -> None:
    """Run `work` in a thread until the other process sets `stop`."""
    stop_thread = threading.Event()
    thread = threading.Thread(target=work, args=(stop_thread,))
    thread.start()
    stop.wait(_TIMEOUT_S)
    stop_thread.set()
    thread.join()


def _inserts(folder: Path, steps: int) -> float:
    documents = Collection("documents")
    store = _attach(folder, "bare", documents)

    def insert(counter: str) -> None:
        for step in range(steps):
            documents.insert({"_id": f"{counter}-{step}", "text": "x" * 300})

    begun = time.perf_counter()
    _in_writer_threads(insert)
    took = time.perf_counter() - begun
    store.close()
    return len(COUNTERS) * steps / took


def _in_writer_threads(write: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, COUNTERS))


def _counters(folder: Path, *others: Collection) -> Collection:
    counters = Collection("counters", outbox.PENDING_INDEX)
    _attach(folder, "writers", counters, *others)
    return counters


def _attach(folder: Path, service: str, *collections: Collection) -> SqliteStore:
    store = SqliteStore(folder / f"{service}.db")
    for collection in collections:
        collection.attach(store).ensure_indexes()
    return store
