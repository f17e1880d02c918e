"""What the contract suites run in processes of their own. Each speaks to the test through a pipe."""

import multiprocessing
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from chassis.bus import PartitionRevoked, Record, Topic
from chassis.store import Collection, Duplicate, Index

_spawn = multiprocessing.get_context("spawn")

stock = Collection("stock")
claims = Collection("claims", Index("email", unique=True))
diary = Collection("diary", Index("words", multikey=True))


@dataclass
class Worker:
    process: Any
    pipe: Connection

    def send(self, signal_: int) -> None:
        os.kill(self.process.pid, signal_)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.join()

    def heard(self) -> list:
        """What it has said by now."""
        lines = []
        try:
            while self.pipe.poll():
                lines.append(self.pipe.recv())
        except (EOFError, OSError):
            pass
        return lines

    def said(self) -> list:
        """All that it says until its pipe ends."""
        lines = []
        try:
            while True:
                lines.append(self.pipe.recv())
        except (EOFError, OSError):
            return lines


@contextmanager
def working(*jobs):
    """Processes that run (function, arguments...) with a pipe as the last argument; ended with the block."""
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
    """Buy one unit at a time; says how many it got."""
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
    """Try to be the first to insert each id, and each e-mail; says what it won."""
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


def write(engine, me, pipe):
    """Insert and count for ever; says each number once it is stored."""
    diary.attach(engine.store()).ensure_indexes()
    diary.insert({"_id": me, "n": 0})
    n = 0
    while True:
        n += 1
        diary.insert({"_id": f"{me}-{n}", "words": [f"w{n}", me]})
        diary.update(me, {"$inc": {"n": 1}})
        pipe.send(n)


def ensure_topics(engine, topics, pipe):
    """Make these topics; says so."""
    bus = engine.bus()
    bus.ensure_topics([Topic(topic, 2) for topic in topics])
    pipe.send("made")
    bus.close()


def publish(engine, me, topic, keys, count, pipe):
    """Publish `count` numbered records a key, some in batches."""
    bus = engine.bus()
    pipe.send("ready")
    pipe.recv()
    for n in range(count):
        records = [Record(topic, f"{key}", f"{me} {n}".encode()) for key in keys]
        outcomes = bus.publish(records, 10)
        pipe.send([outcome is None for outcome in outcomes])
    bus.close()


def publish_for_ever(engine, topic, pipe):
    """Publish numbered records until told to stop; says each number once it is stored."""
    bus = engine.bus()
    n = 0
    while not pipe.poll(0.001):
        if bus.publish([Record(topic, str(n % 20), str(n).encode())], 10) == [None]:
            pipe.send(n)
        n += 1
    bus.close()


def consume(engine, group, topic, pipe):
    """Poll and commit until told to stop; says (number of ownership, partition, offset) of each record it is given."""
    bus = engine.bus()
    consumer = bus.consumer(group, [topic])
    while not pipe.poll():
        records = consumer.poll(7, 0.1)
        for record in records:
            pipe.send((consumer.owned()[record.topic, record.partition], record.partition, record.offset))
        try:
            consumer.commit({(record.topic, record.partition): record.offset + 1 for record in records})
        except PartitionRevoked:
            pass  # they come to another
    consumer.close()
    bus.close()


def commit_late(engine, group, topic, pipe):
    """Take everything, commit the first of each partition and say how many that were; the rest when told to, and say
    whether that was refused; then poll until told to stop."""
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
        pipe.send("lost")
    while not pipe.poll():
        consumer.poll(50, 0.1)
    pipe.send(sorted(consumer.owned()))
    consumer.close()
