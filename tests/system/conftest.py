"""One platform for the whole session, and a second one for the file that needs settings of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.platform import Client, Remote, Shop

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Shop | Remote]:
    """The platform as `mercato up` starts it, without rate limits; or the one of `--at`."""
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
    """A platform with the default rate limits, and with reservations that expire after two seconds."""
    if pytestconfig.getoption("--at"):
        pytest.skip("it needs settings of its own")
    platform = Shop(tmp_path_factory.mktemp("strict"), RATE_LIMITS="on", RESERVATION="2")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.admin()


@pytest.fixture
def buyer(shop: Shop) -> Client:
    """A shopper of this test alone."""
    return shop.shopper()


@pytest.fixture
def nobody(shop: Shop) -> Client:
    return shop.nobody()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files of the session's platform come last: it would stand idle while those run that have one of their own."""
    files = {item.path for item in items if "shop" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path.parent == HERE and item.path in files)
