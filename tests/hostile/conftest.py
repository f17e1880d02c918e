"""One platform for all that is hostile; it tells which requests reached a handler."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.cast import Cast
from tests.system.platform import Shop
from tests.system.running import ROOT

INJECT = Path(__file__).parent / "inject"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The platform as `mercato up` starts it, without rate limits, each call of a handler noted."""
    paths = os.pathsep.join((str(INJECT), str(ROOT)))
    platform = Shop(tmp_path_factory.mktemp("hostile"), RATE_LIMITS="off", PYTHONPATH=paths)
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture(scope="session")
def cast(shop: Shop) -> Cast:
    """The people on it, and what they have."""
    return Cast(shop)
