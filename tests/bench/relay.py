"""The relay on MongoDB and Kafka, against kafka-python alone with the same settings, records, keys and headers.

One process each: what waits for the relay is stored before, and what it publishes is published again by a bare loop.
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
ENOUGH = 0.8
RATE = 100
"""Events/s at which the delay is measured."""
AT_ONCE = 0.5
PAUSE = 0.1
LEASE = 10.0
_PARTITIONS = 4


class Counted(Event, type="counter.counted", key="counter"):
    """A counter went on by one."""

    counter: str
    step: int


def run(short: bool) -> list[dict[str, Any]]:
    """Median ratios of some rounds; the delay from commit until a consumer has the event; what idling costs."""
    if engines.folder() is None:
        return [{"name": "left out: it needs ENGINES", "value": 0}]
    rounds, seconds = (3, 5) if short else (9, 20)
    pair = engines.Engine("mongodb", "bench"), engines.Engine("kafka", "bench")
    try:
        place = _Place(pair[0].up(), pair[1].up(), f"bench_{clock.new_id().lower()}")
        place.prepare()
        found = _rates(place, MANY, rounds) + _rates(place, FEW, rounds)
        return found + _delays(place, seconds) + _idle(place, _relay, seconds) + _idle(place, _consume, seconds)
    finally:
        for engine in pair:
            engine.wipe()


@dataclass(frozen=True)
class _Place:
    """Where the counters and their events are, for each process to open."""

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
    def relay(self) -> Iterator[tuple[Relay, Collection, "_Counting"]]:
        store: Any = _Counting(MongodbStore(self.uri, self.name))
        counters, leases = Collection("counters", outbox.PENDING), Collection("leases")
        for collection in (counters, leases):
            collection.attach(store).ensure_indexes()
        bus = KafkaBus(self.servers)
        try:
            yield Relay([EmbeddedOutbox(self.name, counters)], bus, leases, LEASE, PAUSE), counters, store
        finally:
            bus.close()
            store.close()


class _Counting:
    """A store that counts what it is asked for."""

    def __init__(self, store: MongodbStore) -> None:
        self._store, self.asked = store, 0

    def __getattr__(self, name: str) -> Any:
        self.asked += 1
        return getattr(self._store, name)


def _rates(place: _Place, each: int, rounds: int) -> list[dict[str, Any]]:
    """Relayed events/s and bare events/s by turns, after one round to warm up."""
    relayed, bare = [], []
    producer = KafkaProducer(bootstrap_servers=place.servers, **SETTINGS)
    with place.relay() as (relay, counters, _), closing(producer):
        for _ in range(1 + rounds):
            ids = [clock.new_id() for _ in range(AGGREGATES)]
            for id in ids:
                counters.insert({"_id": id, **_opened(id, each)})
            records = _by_turns(EmbeddedOutbox(place.name, counters), each)
            gc_tuning.relax_after_startup()  # as in a worker, and for both
            relayed.append(_rate(len(records), _relayed, relay, counters))
            bare.append(_rate(len(records), _sent, producer, records))
            for id in ids:
                counters.delete(id)
    ratio = statistics.median(one / other for one, other in list(zip(relayed, bare, strict=True))[1:])
    what = f"{AGGREGATES:,} aggregates, {each} event{'s' * (each > 1)} each"
    bar = {"bar": f">= {ENOUGH}", "ok": ratio >= ENOUGH} if each == MANY else {}
    return [
        {"name": f"relayed: {what}", "value": statistics.median(relayed[1:]), "unit": "events/s"},
        {"name": "kafka-python alone, the same records", "value": statistics.median(bare[1:]), "unit": "events/s"},
        {"name": "relayed / alone", "value": ratio, "unit": "", **bar},
    ]


def _opened(id: str, each: int) -> dict[str, Any]:
    with trace.continued(None):
        return outbox.new_outbox(id, *(Counted(counter=id, step=step) for step in range(each)))


def _by_turns(source: EmbeddedOutbox, each: int) -> list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]:
    """What waits, ready to be sent: the first event of each aggregate, the second of each ..."""
    lines = [[record for _, record in waiting.events] for waiting in source.pending(range(outbox.SLOTS), AGGREGATES)]
    assert len(lines) == AGGREGATES
    return [_bare(line[turn]) for turn in range(each) for line in lines]


def _bare(record: Record) -> tuple[str, bytes, bytes, list[tuple[str, bytes]]]:
    headers = [(name, text.encode()) for name, text in record.headers.items()]
    return record.topic, record.value, record.key.encode(), headers


def _rate(count: int, work: Callable[..., None], *arguments: Any) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return count / (time.perf_counter() - begun)


def _relayed(relay: Relay, counters: Collection) -> None:
    while counters.find({"pending": {"$gt": 0}}, limit=1):
        with suppress(TransientError):  # an engine on a busy machine: it goes on where it was
            relay.step()


def _sent(producer: Any, records: list[tuple[str, bytes, bytes, list[tuple[str, bytes]]]]) -> None:
    sent = [producer.send(*record) for record in records]
    producer.flush()
    for each in sent:
        each.get(0)


def _delays(place: _Place, seconds: float) -> list[dict[str, Any]]:
    """From commit until a consumer has it, the relay being a process of its own."""
    found: list[float] = []
    count = int(RATE * seconds)
    with (
        closing(KafkaBus(place.servers)) as bus,
        _process(_relay, place) as (_, stop),
        place.relay() as (_, counters, _),
    ):
        member = bus.consumer(clock.new_id(), [place.topic])
        _catch_up(member)

        def write() -> None:
            for number in range(count):
                counters.insert({"_id": (id := clock.new_id()), **_opened(id, 1)})
                time.sleep(max(begun + (number + 1) / RATE - time.monotonic(), 0))  # so as to keep to the rate

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
        {"name": f"delay at {RATE} events/s, p50", "value": cuts[49] * 1000, "unit": "ms"},
        {
            "name": f"delay at {RATE} events/s, p99",
            "value": cuts[98] * 1000,
            "unit": "ms",
            "bar": f"<= {AT_ONCE * 1000:g}",
            "ok": len(found) == count and cuts[98] <= AT_ONCE,
        },
    ]


def _idle(place: _Place, work: Callable[..., None], seconds: float) -> list[dict[str, Any]]:
    """CPU and operations of a process that has nothing to do."""
    with _process(work, place) as (pipe, stop):
        time.sleep(2 * ACTIVE_S)  # from then on it looks less often: what is measured is rest
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
def _process(work: Callable[..., None], place: _Place) -> Iterator[tuple[Connection, Any]]:
    spawn = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    stop = spawn.Event()
    process = spawn.Process(target=work, args=(place, theirs, stop))
    process.start()
    try:
        assert mine.recv() == "ready"
        yield mine, stop
    finally:
        stop.set()
        process.join(30)


def _relay(place: _Place, pipe: Connection, stop: Any) -> None:
    with place.relay() as (relay, _, store):
        _until(stop, relay.run, pipe, lambda: store.asked)


def _consume(place: _Place, pipe: Connection, stop: Any) -> None:
    bus = KafkaBus(place.servers)
    member = bus.consumer(clock.new_id(), [place.topic])
    _catch_up(member)

    def work(ending: threading.Event) -> None:
        while not ending.is_set():
            _take(member)
        member.close()

    _until(stop, work, pipe, lambda: 0)
    bus.close()


def _catch_up(member: Any) -> None:
    while not member.lag() or sum(member.lag().values()):
        _take(member)


def _take(member: Any) -> None:
    member.commit({(each.topic, each.partition): each.offset + 1 for each in member.poll(500, 0.5)})


def _until(stop: Any, work: Callable[[threading.Event], None], pipe: Connection, count: Callable[[], int]) -> None:
    """Work in a thread until the other process says stop; tell it this one's CPU time and count when it asks."""
    ending = threading.Event()
    thread = threading.Thread(target=work, args=(ending,))
    thread.start()
    pipe.send("ready")
    while not stop.wait(0.5):
        if pipe.poll():
            pipe.recv()
            pipe.send((time.process_time(), count()))
    ending.set()
    thread.join()
