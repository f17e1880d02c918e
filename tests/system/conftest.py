"""One platform for the whole session, and a second one for the file that needs settings of its own."""

import os
from collections.abc import Iterator

import pytest

from tests.system.platform import Client, Remote, Shop


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
