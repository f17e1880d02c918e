"""Real engines for tests: MongoDB and Kafka, by the commands `mongodb` and `kafka` in the folder that ENGINES names.

    mongodb = Engine("mongodb", "w0")
    mongodb.up()          # mongodb://127.0.0.1:27117/
    mongodb.kill()

Each takes `--name NAME` and one of: up (prints the address), start, down, kill (-9), pause, resume, wipe; `mongodb up`
also `--auth USER:PASSWORD`, which turns logins on, and `kafka up` `--set KEY=VALUE`, a setting of the broker.
"""

import itertools
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

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
        """Start it if need be; its address, once it answers."""
        return self._do("up").strip().splitlines()[-1]

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

    def _do(self, verb: str) -> str:
        found = folder()
        if found is None:
            pytest.skip(f"no {self.kind} for tests here: ENGINES names a folder with the commands mongodb and kafka")
        login = ["--auth", self.login] if self.login else []
        short = ["--set", "group.min.session.timeout.ms=1000"] if self.kind == "kafka" else []  # so may leases be
        command = [found / self.kind, "--name", self.name, *login, *short, verb]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{self.kind} {verb}: {done.stderr}"
        return done.stdout


def worker() -> str:
    """What tells apart the tests that run at once: the name of this worker of pytest-xdist."""
    return os.environ.get("PYTEST_XDIST_WORKER", "alone")


@dataclass(frozen=True)
class Pair:
    """The engines of one platform, and their addresses."""

    mongodb: Engine
    kafka: Engine
    uri: str
    servers: str

    @property
    def settings(self) -> dict[str, str]:
        """What tells a process to use them."""
        return {"MONGODB_URI": self.uri, "KAFKA_BOOTSTRAP_SERVERS": self.servers}

    def wipe(self) -> None:
        self.mongodb.wipe()
        self.kafka.wipe()


_numbers = itertools.count(1)


def wanted() -> bool:
    """Whether platforms are to run on real engines."""
    return bool(os.environ.get(WANTED))


def pair() -> Pair:
    """Two engines that are empty, and nobody else's."""
    name = f"{worker()}-{next(_numbers)}"
    mongodb, kafka = Engine("mongodb", name), Engine("kafka", name)
    mongodb.wipe()
    kafka.wipe()
    return Pair(mongodb, kafka, mongodb.up(), kafka.up())
