"""Engines for the contract suites: each suite names those it runs on, and every promise of the port is tested there."""

from collections.abc import Iterator

import pytest
from ports import Engine, KafkaEngine, MongodbEngine, SqliteEngine

from chassis import clock
from chassis.bus import Bus
from chassis.store import Store
from chassis.testing import FakeClock
from tests import engines


@pytest.fixture(scope="module")
def mongodb() -> Iterator[str]:
    """The address of a server."""
    yield from lent("mongodb")


@pytest.fixture(scope="module")
def kafka() -> Iterator[str]:
    """The address of a broker."""
    yield from lent("kafka")


def lent(kind: engines.Kind) -> Iterator[str]:
    engine, address = engines.take(kind)
    yield address
    engines.give_back(engine, address)


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The engine that the suite's `pytestmark = pytest.mark.parametrize("engine", [...], indirect=True)` names."""
    if request.param == "sqlite":
        yield SqliteEngine(request.getfixturevalue("tmp_path"))
    elif request.param == "mongodb":
        engine = MongodbEngine(request.getfixturevalue("mongodb"), f"test_{clock.new_id().lower()}")
        yield engine
        engine.drop()
    else:
        yield KafkaEngine(request.getfixturevalue("kafka"))


@pytest.fixture
def store(engine: SqliteEngine | MongodbEngine) -> Iterator[Store]:
    store = engine.store()
    yield store
    store.close()


@pytest.fixture
def bus(engine: SqliteEngine | KafkaEngine) -> Iterator[Bus]:
    bus = engine.bus()
    yield bus
    bus.close()


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    fake = FakeClock()
    clock.use(fake)
    yield fake
    clock.use(clock.Clock())
