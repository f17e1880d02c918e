"""An embedded bus and store for the counters, a fake clock, and a relay."""

import pytest

from chassis.bus import Topic
from chassis.bus.sqlite.bus import SqliteBus
from chassis.events import dead_letters, set_aside
from chassis.events.batch_progress import progress
from tests.unit.events.counters import TOPIC, counters, leases, new_relay, totals


@pytest.fixture
def bus(tmp_path):
    engine = SqliteBus(tmp_path / "bus.db")
    engine.ensure_topics([Topic(TOPIC, 2), Topic("totals.dead", 1)])
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def bound(store, fake_clock):
    chassis = leases, dead_letters.collection, dead_letters.discarded, progress, set_aside.entries
    for collection in (counters, totals, *chassis):
        collection.attach(store).ensure_indexes()


@pytest.fixture
def relay(bus):
    return new_relay(bus)
