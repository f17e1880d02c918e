"""What all tests share."""

import os

import pytest

from chassis import clock
from chassis.testing import FakeClock
from tests import engines, sizes

os.environ.setdefault("STRICT_ERRORS", "on")  # in this process and in every platform that a test starts


@pytest.fixture
def fake_clock():
    """Time that the test owns: `pass_time(seconds)`."""
    fake = FakeClock()
    clock.use(fake)
    yield fake
    clock.use(clock.Clock())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--engines", action="store_true", help="run platforms on MongoDB and Kafka: see tests/engines.py")
    parser.addoption("--nightly", action="store_true", help="run the long forms, and the tests marked nightly")
    parser.addoption(
        "--at", metavar="URL", help="ask the platform there, as ADMIN_EMAIL with ADMIN_PASSWORD; start none"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "embedded: is about the embedded engines, or looks into their files")
    config.addinivalue_line(
        "markers", "any_engine: its subject is the same on every engine; on real ones, runs nightly"
    )
    config.addinivalue_line("markers", "nightly: takes minutes; runs with --nightly alone")
    if config.getoption("--engines"):
        os.environ[engines.WANTED] = "1"
    if config.getoption("--nightly"):
        os.environ[sizes.NIGHTLY] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--engines"):
        items[:] = [item for item in items if not _embedded(item)]
    if not config.getoption("--nightly"):
        long = {"nightly", "any_engine"} if config.getoption("--engines") else {"nightly"}
        nightly = [item for item in items if long & {marker.name for marker in item.iter_markers()}]
        items[:] = [item for item in items if item not in nightly]
        config.hook.pytest_deselected(items=nightly)


def pytest_sessionfinish() -> None:
    engines.end()


def _embedded(item: pytest.Item) -> bool:
    """Whether it is about the embedded engines alone."""
    asked = getattr(item, "callspec", None)
    return item.get_closest_marker("embedded") is not None or asked and asked.params.get("engine") == "sqlite"
