"""Engines for the contract suites: each suite names those it runs on, and every promise of the port is tested there."""

from collections.abc import Iterator

import pytest
from ports import Engine, KafkaEngine, MongodbEngine, SqliteEngine

from chassis import clock
from chassis.bus import Bus
from chassis.store import Store
from chassis.testing import FakeClock
from tests import engines


@pytest.fixture(scope="session")
def mongodb() -> str:
    """The address of a server that this worker's tests share."""
    return engines.Engine("mongodb", engines.worker()).up()


@pytest.fixture(scope="session")
def kafka() -> str:
    """The address of a broker that this worker's tests share."""
    return engines.Engine("kafka", engines.worker()).up()


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The engine that the suite's `pytestmark = pytest.mark.parametrize("engine", [...], indirect=True)` names."""
    if request.param == "sqlite":
        yield SqliteEngine(request.getfixturevalue("tmp_path"))
    elif request.param == "mongodb":
        yield MongodbEngine(request.getfixturevalue("mongodb"), f"test_{clock.new_id().lower()}")
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
