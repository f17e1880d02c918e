"""Functions that the contract suites run in other processes. Each reports to the test through a pipe."""

import multiprocessing
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from chassis.bus import PartitionRevoked, Record, Topic
from chassis.store import Collection, Duplicate, Index, Version, migration

_spawn = multiprocessing.get_context("spawn")

stock = Collection("stock")
claims = Collection("claims", Index("email", unique=True))
diary = Collection("diary", Index("words", multikey=True))
books = Collection(
    "books", Index("size"), versions=(Version(defaults={"size": 0}, upcast=lambda doc: {"size": doc["n"]}),)
)


@dataclass
class Worker:
    process: Any
    pipe: Connection

    def send(self, signal_: int) -> None:
        os.kill(self.process.pid, signal_)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.join()

    def reported(self) -> list:
        """Return what it has reported by now."""
        lines = []
        try:
            while self.pipe.poll():
                lines.append(self.pipe.recv())
        except (EOFError, OSError):
            pass
        return lines

    def reported_until_end(self) -> list:
        """Return all that it reports until its pipe ends."""
        lines = []
        try:
            while True:
                lines.append(self.pipe.recv())
        except (EOFError, OSError):
            return lines


@contextmanager
def working(*jobs):
    """Run (function, arguments...) in processes, with a pipe as the last argument; kill them after the block."""
    workers = []
    try:
        for function, *arguments in jobs:
            mine, theirs = _spawn.Pipe()
            process = _spawn.Process(target=function, args=(*arguments, theirs), daemon=True)
            process.start()
            theirs.close()
            workers.append(Worker(process, mine))
        yield workers
    finally:
        for worker in workers:
            if worker.process.is_alive():
                worker.kill()


def sell(engine, tries, pipe):
    """Buy one unit at a time; report how many it got."""
    stock.attach(engine.store()).ensure_indexes()
    pipe.send("ready")
    pipe.recv()
    pipe.send(
        sum(
            stock.update("p", {"$inc": {"available": -1, "sold": 1}}, when={"available": {"$gte": 1}}) is not None
            for _ in range(tries)
        )
    )


def claim(engine, me, names, pipe):
    """Try to be the first to insert each id and each email; report which it won."""
    claims.attach(engine.store()).ensure_indexes()
    pipe.send("ready")
    pipe.recv()
    won = []
    for name in names:
        for doc in ({"_id": name, "email": f"{name}@{me}"}, {"_id": f"{name}-{me}", "email": name}):
            try:
                claims.insert(doc)
                won.append(name if doc["_id"] == name else f"{name}@")
            except Duplicate:
                pass
    pipe.send(won)


def migrate(engine, pipe):
    """Migrate the books one by one, and report when three are done."""
    store = engine.store()
    books.attach(store).ensure_indexes()
    migration.records.attach(store).ensure_indexes()
    migration.PAGE = 1
    mine = migration.Migration(books)
    mine.hold()
    for _ in range(3):
        mine.step()
    pipe.send("under way")
    migration.finish(mine)


def write(engine, me, pipe):
    """Insert and count forever; report each number once it is stored."""
    diary.attach(engine.store()).ensure_indexes()
    diary.insert({"_id": me, "n": 0})
    n = 0
    while True:
        n += 1
        diary.insert({"_id": f"{me}-{n}", "words": [f"w{n}", me]})
        diary.update(me, {"$inc": {"n": 1}})
        pipe.send(n)


def ensure_topics(engine, topics, pipe):
    """Create these topics, and report it."""
    bus = engine.bus()
    bus.ensure_topics([Topic(topic, 2) for topic in topics])
    pipe.send("created")
    bus.close()


def publish(engine, me, topic, keys, count, pipe):
    """Publish `count` numbered records for each key; report which were stored."""
    bus = engine.bus()
    pipe.send("ready")
    pipe.recv()
    for n in range(count):
        records = [Record(topic, f"{key}", f"{me} {n}".encode()) for key in keys]
        outcomes = bus.publish(records, 10)
        pipe.send([outcome is None for outcome in outcomes])
    bus.close()


def publish_forever(engine, topic, pipe):
    """Publish numbered records until a message arrives; report each number once it is stored."""
    bus = engine.bus()
    n = 0
    while not pipe.poll(0.001):
        if bus.publish([Record(topic, str(n % 20), str(n).encode())], 10) == [None]:
            pipe.send(n)
        n += 1
    bus.close()


def consume(engine, group, topic, pipe):
    """Poll and commit until a message arrives; report (ownership number, partition, offset) of each record."""
    bus = engine.bus()
    consumer = bus.consumer(group, [topic])
    while not pipe.poll():
        records = consumer.poll(7, 0.1)
        for record in records:
            pipe.send((consumer.owned()[record.topic, record.partition], record.partition, record.offset))
        try:
            consumer.commit({(record.topic, record.partition): record.offset + 1 for record in records})
        except PartitionRevoked:
            pass  # another member gets them
    consumer.close()
    bus.close()


def commit_late(engine, group, topic, pipe):
    """Poll everything, commit the first record of each partition, and report how many that were.

    At the next message commit the rest and report whether that failed; then poll until another message arrives.
    """
    bus = engine.bus()
    consumer = bus.consumer(group, [topic])
    records = []
    while len(records) < 10:
        records += consumer.poll(50, 0.2)
    first = {(record.topic, record.partition): 1 for record in records}
    consumer.commit(first)
    pipe.send(len(first))
    pipe.recv()
    try:
        consumer.commit({(record.topic, record.partition): record.offset + 1 for record in records})
        pipe.send("committed")
    except PartitionRevoked:
        pipe.send("revoked")
    while not pipe.poll():
        consumer.poll(50, 0.1)
    pipe.send(sorted(consumer.owned()))
    consumer.close()
