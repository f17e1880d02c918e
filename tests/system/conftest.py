"""One platform for the whole session, and a second one for the file that needs settings of its own."""

from collections.abc import Iterator

import pytest

from tests.system.platform import Client, Shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The platform as `mercato up` starts it, without rate limits."""
    platform = Shop(tmp_path_factory.mktemp("shop"), RATE_LIMITS="off")
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture(scope="module")
def strict_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform with the default rate limits, and with reservations that expire after two seconds."""
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
