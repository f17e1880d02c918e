"""Sagas in an embedded store, and a driver of the saga `buy`."""

import pytest

from chassis.sagas.driver import DUE_INDEX, Driver
from chassis.store import Collection
from chassis.testing import FakeClock
from tests.unit.conftest import FaultyStore
from tests.unit.sagas.buying import SAGA, FakeServices


@pytest.fixture
def sagas(store: FaultyStore, fake_clock: FakeClock) -> Collection:
    collection = Collection("sagas", DUE_INDEX)
    collection.attach(store).ensure_indexes()
    return collection


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def driver(sagas: Collection, services: FakeServices) -> Driver:
    return Driver(SAGA, sagas, lambda: 10.0, services)
