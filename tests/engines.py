"""Real engines for tests: MongoDB and Kafka, by the commands `mongodb` and `kafka` in the folder that ENGINES names.

    mongodb = Engine("mongodb", "w0")
    mongodb.up()          # mongodb://127.0.0.1:20117/
    mongodb.kill()

Each takes `--name NAME` and one of: up (prints the address), start, down, kill (-9), pause, resume, wipe; `up` takes
`--port PORT`, `mongodb up` also `--auth USER:PASSWORD`, which turns logins on, and `kafka up` `--set KEY=VALUE`, a
setting of the broker.
"""

import itertools
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.system.running import eventually, free_port

Kind = Literal["mongodb", "kafka"]
WANTED = "ON_ENGINES"
"""Set in the environment where platforms are to run on real engines: `pytest --engines` does."""


def folder() -> Path | None:
    """Where the commands are; None where this machine has no engines for tests."""
    found = os.environ.get("ENGINES")
    return Path(found).resolve() if found else None


@dataclass(frozen=True)
class Engine:
    """One instance; its data stay until `wipe`."""

    kind: Kind
    name: str
    login: str = ""
    """USER:PASSWORD, where one is needed."""

    def up(self) -> str:
        """Start it, empty; return its address, once it answers.

        Its port is ours: engines that start at the same time could be given the same one.
        """
        self.wipe()
        port = free_port(span=2)  # the second one is the controller's of Kafka
        return self._do("up", "--port", str(port)).strip().splitlines()[-1]

    def start(self) -> None:
        """Start it again on the same data."""
        self._do("start")

    def down(self) -> None:
        self._do("down")

    def kill(self) -> None:
        """kill -9."""
        self._do("kill")

    def pause(self) -> None:
        """SIGSTOP."""
        self._do("pause")

    def resume(self) -> None:
        self._do("resume")

    def wipe(self) -> None:
        """kill -9, and remove its data."""
        self._do("wipe")

    def _do(self, verb: str, *options: str) -> str:
        found = folder()
        if found is None:
            pytest.skip(f"no {self.kind} for tests here: ENGINES names a folder with the commands mongodb and kafka")
        login = ["--auth", self.login] if self.login else []
        short = ["--set", "group.min.session.timeout.ms=1000"] if self.kind == "kafka" else []  # so may leases be
        command: list[str | Path] = [found / self.kind, "--name", self.name, *login, *short, *options, verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{self.kind} {verb}: {done.stderr}"
        return done.stdout


def worker() -> str:
    """What tells apart the tests that run at once: the name of this worker of pytest-xdist."""
    return os.environ.get("PYTEST_XDIST_WORKER", "alone")


def wanted() -> bool:
    """Whether platforms are to run on real engines."""
    return bool(os.environ.get(WANTED))


_numbers = itertools.count(1)
_spare: dict[Kind, list[tuple[Engine, str]]] = {"mongodb": [], "kafka": []}


def take(kind: Kind) -> tuple[Engine, str]:
    """An engine that runs, is empty, and nobody else's; and its address."""
    with suppress(IndexError):
        return _spare[kind].pop()
    engine = Engine(kind, f"{worker()}-{next(_numbers)}")
    return engine, engine.up()


def give_back(engine: Engine, address: str) -> None:
    """Empty it for whoever takes it next, who is spared its start; where that fails, it is wiped."""
    try:
        _EMPTY[engine.kind](address)
    except (PyMongoError, KafkaError, AssertionError):
        engine.wipe()
    else:
        _spare[engine.kind].append((engine, address))


def _empty_mongodb(uri: str) -> None:
    with MongoClient[Any](uri, timeoutMS=10_000) as client:
        for name in set(client.list_database_names()) - {"admin", "config", "local"}:
            client.drop_database(name)


def _empty_kafka(servers: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=servers, bootstrap_timeout_ms=10_000)) as admin:
        admin.delete_topics([topic for topic in admin.list_topics() if not topic.startswith("__")])
        eventually(lambda: all(topic.startswith("__") for topic in admin.list_topics()))


_EMPTY = {"mongodb": _empty_mongodb, "kafka": _empty_kafka}


def end() -> None:
    """Wipe those that nobody needs any more."""
    for spare in _spare.values():
        while spare:
            spare.pop()[0].wipe()


@dataclass(frozen=True)
class Pair:
    """The engines of one platform, and their addresses; `use` tells it from the platforms that had them before."""

    mongodb: Engine
    kafka: Engine
    uri: str
    servers: str
    use: int

    @property
    def settings(self) -> dict[str, str]:
        """What tells a process to use them."""
        return {"MONGODB_URI": self.uri, "KAFKA_BOOTSTRAP_SERVERS": self.servers}

    def give_back(self) -> None:
        give_back(self.mongodb, self.uri)
        give_back(self.kafka, self.servers)


def pair() -> Pair:
    """Two engines that are empty, and nobody else's."""
    with ThreadPoolExecutor(2) as pool:
        (mongodb, uri), (kafka, servers) = pool.map(take, ("mongodb", "kafka"))
    return Pair(mongodb, kafka, uri, servers, next(_numbers))
