"""Engines for the contract suites: add one here, and every promise of the ports is tested on it."""

from collections.abc import Iterator

import pytest
from ports import Engine, SqliteEngine

from chassis import clock
from chassis.bus import Bus
from chassis.store import Store
from chassis.testing import FakeClock


@pytest.fixture(params=["sqlite"])
def engine(request, tmp_path) -> Engine:
    return {"sqlite": SqliteEngine}[request.param](tmp_path)


@pytest.fixture
def store(engine) -> Iterator[Store]:
    store = engine.store()
    yield store
    store.close()


@pytest.fixture
def bus(engine) -> Iterator[Bus]:
    bus = engine.bus()
    yield bus
    bus.close()


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    fake = FakeClock()
    clock.use(fake)
    yield fake
    clock.use(clock.Clock())
