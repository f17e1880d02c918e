"""One platform for the whole session, and another one for a file that needs settings of its own."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.platform import Client, Remote, Shop
from tests.system.runbook import Commands, Runbook

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Shop | Remote]:
    """Start a platform without rate limits, or use the one of `--at`."""
    if url := pytestconfig.getoption("--at"):
        yield Remote(url, os.environ["ADMIN_EMAIL"], os.environ["ADMIN_PASSWORD"])
        return
    platform = Shop(tmp_path_factory.mktemp("shop"), RATE_LIMITS="off")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture(scope="module")
def strict_shop(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Shop]:
    """Start a platform with the default rate limits, where reservations and buyers at the bank have two seconds."""
    if pytestconfig.getoption("--at"):
        pytest.skip("needs settings of its own")
    platform = Shop(tmp_path_factory.mktemp("strict"), RATE_LIMITS="on", RESERVATION="2", BANK_CONFIRMATION="2")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture(scope="session")
def mercato(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """Return the command line, which runs commands on the platform that a test names."""
    commands = Commands(tmp_path_factory.mktemp("commands"))
    yield commands
    commands.close()


@pytest.fixture
def on(shop: Shop, mercato: Commands) -> Any:
    """Return a function that opens a page, with what replaces its words in capitals."""
    return lambda page, **names: Runbook(page, shop, mercato, **names)


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.admin()


@pytest.fixture
def buyer(shop: Shop) -> Client:
    """Return a shopper of this test only."""
    return shop.shopper()


@pytest.fixture
def guest(shop: Shop) -> Client:
    return shop.guest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files of the session's platform last: it would idle while files with their own platform run."""
    files = {item.path for item in items if "shop" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path.parent == HERE and item.path in files)
