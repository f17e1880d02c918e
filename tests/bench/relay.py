"""The relay on MongoDB and Kafka, compared with kafka-python alone, with the same settings, records, keys and headers.

Both run in this process: the pending events are stored beforehand, and a bare loop publishes the same records again.
"""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from kafka import KafkaProducer

from chassis import clock, gc_tuning
from chassis.bus import Record, Topic
from chassis.bus.kafka.bus import KafkaBus
from chassis.bus.kafka.producer import SETTINGS
from chassis.errors import TransientError
from chassis.events import outbox
from chassis.events.outbox import EmbeddedOutbox
from chassis.events.relay import ACTIVE_S, Relay
from chassis.messages import Event
from chassis.observe import trace
from chassis.store import Collection
from chassis.store.mongodb.store import MongodbStore
from tests import engines

AGGREGATES = 1000
MANY, FEW = 20, 1
"""Events per aggregate."""
MIN_RATIO = 0.8
EVENTS_PER_S = 100
"""Rate at which the delay is measured."""
MAX_DELAY_S = 0.5
POLL_S = 0.1
LEASE_S = 10.0
_PARTITIONS = 4


class Counted(Event, type="counter.counted", key="counter"):
    """A counter was incremented."""

    counter: str
    step: int


def run(short: bool) -> list[dict[str, Any]]:
    """Measure ratios of throughput, the delay from commit to consumer, and the cost of idling."""
    if engines.folder() is None:
        return [{"name": "skipped: needs ENGINES", "value": 0}]
    rounds, seconds = (3, 5) if short else (9, 20)
    pair = engines.Engine("mongodb", "bench"), engines.Engine("kafka", "bench")
    try:
        addresses = _Addresses(pair[0].up(), pair[1].up(), f"bench_{clock.new_id().lower()}")
        addresses.prepare()
        found = _rates(addresses, MANY, rounds)
        if not short:  # it has no bar
            found += _rates(addresses, FEW, rounds)
        return (
            found
            + _delays(addresses, seconds)
            + _idle(addresses, _relay, seconds)
            + _idle(addresses, _consume, seconds)
        )
    finally:
        for engine in pair:
            engine.wipe()


@dataclass(frozen=True)
class _Addresses:
    """Addresses of the engines; each process opens its own connections."""

    uri: str
    servers: str
    name: str

    @property
    def topic(self) -> str:
        return f"{self.name}.events"

    def prepare(self) -> None:
        with closing(KafkaBus(self.servers)) as bus:
            bus.ensure_topics([Topic(self.topic, _PARTITIONS)])

    @contextmanager
    def relay(self) -> Iterator[tuple[Relay, Collection, "_CountingStore"]]:
        store: Any = _CountingStore(MongodbStore(self.uri, self.name))
        counters, leases = Collection("counters", outbox.PENDING_INDEX), Collection("leases")
        for collection in (counters, leases):
            collection.attach(store).ensure_indexes()
        bus = KafkaBus(self.servers)
        relay, stopped = Relay([EmbeddedOutbox(self.name, counters)], bus, leases, LEASE_S, POLL_S), threading.Event()
        stopped.set()
        try:
            yield relay, counters, store
        finally:
            relay.run(stopped)  # releases its slots, for which the next relay would wait
            bus.close()
            store.close()


class _CountingStore:
    """A store that counts its operations."""

    def __init__(self, store: MongodbStore) -> None:
        self._store, self.operations = store, 0

    def __getattr__(self, name: str) -> Any:
        self.operations += 1
        return getattr(self._store, name)


def _rates(addresses: _Addresses, each: int, rounds: int) -> list[dict[str, Any]]:
    """Measure relayed and bare events/s in turn, after one warm-up round."""
    relayed, bare = [], []
    producer = KafkaProducer(bootstrap_servers=addresses.servers, **SETTINGS)
    with addresses.relay() as (relay, counters, _), closing(producer):
        for _ in range(1 + rounds):
            ids = [clock.new_id() for _ in range(AGGREGATES)]
            for id in ids:
                counters.insert({"_id": id, **_new_outbox(id, each)})
            records = _interleave(EmbeddedOutbox(addresses.name, counters), each)
            gc_tuning.relax_after_startup()  # as in a worker; applies to both
            relayed.append(_events_per_s(len(records), _relay_all, relay, counters))
            bare.append(_events_per_s(len(records), _send_all, producer, records))
            for id in ids:
                counters.delete(id)
    ratio = statistics.median(one / other for one, other in list(zip(relayed, bare, strict=True))[1:])
    what = f"{AGGREGATES:,} aggregates, {each} event{'s' * (each > 1)} each"
    bar = {"bar": f">= {MIN_RATIO}", "ok": ratio >= MIN_RATIO} if each == MANY else {}
    return [
        {"name": f"relayed: {what}", "value": statistics.median(relayed[1:]), "unit": "events/s"},
        {"name": "kafka-python alone, the same records", "value": statistics.median(bare[1:]), "unit": "events/s"},
        {"name": "relayed / alone", "value": ratio, "unit": "", **bar},
    ]


def _new_outbox(id: str, each: int) -> dict[str, Any]:
    with trace.continue_trace(None):
        return outbox.new_outbox(id, *(Counted(counter=id, step=step) for step in range(each)))


def _interleave(source: EmbeddedOutbox, each: int) -> list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]:
    """Return the pending records: the first event of each aggregate, the second of each ..."""
    pending = [[record for _, record in each.events] for each in source.pending(range(outbox.SLOTS), AGGREGATES)]
    assert len(pending) == AGGREGATES
    return [_for_kafka(events[turn]) for turn in range(each) for events in pending]


def _for_kafka(record: Record) -> tuple[str, bytes, bytes, list[tuple[str, bytes]]]:
    headers = [(name, text.encode()) for name, text in record.headers.items()]
    return record.topic, record.value, record.key.encode(), headers


def _events_per_s(count: int, work: Callable[..., None], *arguments: Any) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return count / (time.perf_counter() - begun)


def _relay_all(relay: Relay, counters: Collection) -> None:
    while counters.find({"pending": {"$gt": 0}}, limit=1):
        with suppress(TransientError):  # engines on a busy machine may time out; the relay resumes
            relay.step()


def _send_all(producer: Any, records: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]) -> None:
    sent = [producer.send(*record) for record in records]
    producer.flush()
    for each in sent:
        each.get(0)


def _delays(addresses: _Addresses, seconds: float) -> list[dict[str, Any]]:
    """Measure the delay from commit to consumer; the relay runs in a process of its own."""
    found: list[float] = []
    count = int(EVENTS_PER_S * seconds)
    with (
        closing(KafkaBus(addresses.servers)) as bus,
        _process(_relay, addresses) as (_, stop),
        addresses.relay() as (_, counters, _),
    ):
        member = bus.consumer(clock.new_id(), [addresses.topic])
        _catch_up(member)

        def write() -> None:
            for number in range(count):
                counters.insert({"_id": (id := clock.new_id()), **_new_outbox(id, 1)})
                time.sleep(max(begun + (number + 1) / EVENTS_PER_S - time.monotonic(), 0))  # keeps the rate

        begun = time.monotonic()
        writer = threading.Thread(target=write)
        writer.start()
        while len(found) < count and time.monotonic() < begun + 3 * seconds + 30:
            found += [clock.seconds_since(each.headers["ce_time"]) for each in member.poll(500, 0.5)]
        writer.join()
        member.close()
        stop.set()
    cuts = statistics.quantiles(found, n=100)
    return [
        {"name": f"delay at {EVENTS_PER_S} events/s, p50", "value": cuts[49] * 1000, "unit": "ms"},
        {
            "name": f"delay at {EVENTS_PER_S} events/s, p99",
            "value": cuts[98] * 1000,
            "unit": "ms",
            "bar": f"<= {MAX_DELAY_S * 1000:g}",
            "goal": True,
            "ok": cuts[98] <= MAX_DELAY_S,
        },
        {"name": "events published", "value": len(found), "bar": f"== {count}", "ok": len(found) == count},
    ]


def _idle(addresses: _Addresses, work: Callable[..., None], seconds: float) -> list[dict[str, Any]]:
    """Measure CPU and store operations of an idle process."""
    with _process(work, addresses) as (pipe, stop):
        time.sleep(2 * ACTIVE_S)  # afterward it polls less often
        pipe.send("now")
        cpu, operations = pipe.recv()
        time.sleep(seconds)  # the window of the measurement
        pipe.send("now")
        later, more = pipe.recv()
        stop.set()
    what = "relay" if work is _relay else "consumer"
    found = [{"name": f"idle {what}, CPU", "value": (later - cpu) / seconds * 1000, "unit": "ms/s"}]
    if work is _relay:
        found.append({"name": "idle relay, store", "value": (more - operations) / seconds, "unit": "operations/s"})
    return found


@contextmanager
def _process(work: Callable[..., None], addresses: _Addresses) -> Iterator[tuple[Connection, Any]]:
    spawn = multiprocessing.get_context("spawn")
    own, other = spawn.Pipe()
    stop = spawn.Event()
    process = spawn.Process(target=work, args=(addresses, other, stop))
    process.start()
    try:
        assert own.recv() == "ready"
        yield own, stop
    finally:
        stop.set()
        process.join(30)


def _relay(addresses: _Addresses, pipe: Connection, stop: Any) -> None:
    with addresses.relay() as (relay, _, store):
        _run_until(stop, relay.run, pipe, lambda: store.operations)


def _consume(addresses: _Addresses, pipe: Connection, stop: Any) -> None:
    bus = KafkaBus(addresses.servers)
    member = bus.consumer(clock.new_id(), [addresses.topic])
    _catch_up(member)

    def work(stop_thread: threading.Event) -> None:
        while not stop_thread.is_set():
            _poll_and_commit(member)
        member.close()

    _run_until(stop, work, pipe, lambda: 0)
    bus.close()


def _catch_up(member: Any) -> None:
    while not member.lag() or sum(member.lag().values()):
        _poll_and_commit(member)


def _poll_and_commit(member: Any) -> None:
    member.commit({(each.topic, each.partition): each.offset + 1 for each in member.poll(500, 0.5)})


def _run_until(stop: Any, work: Callable[[threading.Event], None], pipe: Connection, count: Callable[[], int]) -> None:
    """Run `work` in a thread until the other process sets `stop`; send it CPU time and count on request."""
    stop_thread = threading.Event()
    thread = threading.Thread(target=work, args=(stop_thread,))
    thread.start()
    pipe.send("ready")
    while not stop.wait(0.5):
        if pipe.poll():
            pipe.recv()
            pipe.send((time.process_time(), count()))
    stop_thread.set()
    thread.join()
