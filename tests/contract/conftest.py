"""Fixtures of the contract suites. A suite over two engines parametrizes `engine`."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from lossy import Proxy
from ports import Engine, KafkaEngine, MongodbEngine, SqliteEngine
from topics import Topics

from chassis import clock
from chassis.bus import Bus, Topic
from chassis.store import Collection, Index, Store
from chassis.testing import FakeClock
from tests import engines


@pytest.fixture(scope="module")
def mongodb() -> Iterator[str]:
    """The URI of a server."""
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
        yield request.getfixturevalue("database")
    else:
        yield KafkaEngine(request.getfixturevalue("kafka"))


@pytest.fixture
def store(engine: SqliteEngine | MongodbEngine) -> Iterator[Store]:
    store = engine.store()
    yield store
    store.close()


@pytest.fixture
def things(store: Store) -> Collection:
    things = Collection("things", Index("a"), Index("deep.er"), Index("tags", multikey=True)).attach(store)
    things.ensure_indexes()
    return things


@pytest.fixture
def plain(store: Store) -> Collection:
    """A collection without indexes, whose documents may hold a list anywhere."""
    plain = Collection("plain").attach(store)
    plain.ensure_indexes()
    return plain


@pytest.fixture
def bus(engine: SqliteEngine | KafkaEngine) -> Iterator[Bus]:
    bus = engine.bus()
    yield bus
    bus.close()


@pytest.fixture
def topics(bus: Bus) -> Iterator[Topics]:
    topics = Topics(bus)
    yield topics
    topics.close()


@pytest.fixture
def events(topics: Topics) -> Topics:
    """The same, with a topic `events` of four partitions."""
    topics.create(events=4, probe=1)
    return topics


@pytest.fixture
def database(mongodb: str) -> Iterator[MongodbEngine]:
    """A database of this test alone."""
    engine = MongodbEngine(mongodb, f"test_{clock.new_id().lower()}")
    yield engine
    engine.drop()


@pytest.fixture
def proxy(mongodb: str) -> Iterator[Proxy]:
    proxy = Proxy(mongodb)
    yield proxy
    proxy.close()


@pytest.fixture
def kafka_bus(kafka: str) -> Iterator[Bus]:
    bus = KafkaEngine(kafka).bus()
    yield bus
    bus.close()


@pytest.fixture
def topic(kafka_bus: Bus) -> str:
    """The name of a topic of this test alone, with four partitions."""
    name = f"events-{clock.new_id().lower()}"
    kafka_bus.ensure_topics([Topic(name, 4)])
    return name


@pytest.fixture
def admin(kafka: str) -> Iterator[Any]:
    from kafka import KafkaAdminClient

    with closing(KafkaAdminClient(bootstrap_servers=kafka)) as admin:
        yield admin


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    fake = FakeClock()
    clock.use(fake)
    yield fake
    clock.use(clock.Clock())
