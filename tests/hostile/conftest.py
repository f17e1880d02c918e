"""One platform for all hostile tests; it records which requests reach a handler."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.actors import Actors
from tests.system.platform import Shop
from tests.system.running import ROOT

NO_MAIL_SERVER = "smtp://127.0.0.1:9"
INJECT = Path(__file__).parent / "inject"


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A platform without rate limits that records each call of a handler; its users must confirm their addresses."""
    paths = os.pathsep.join((str(INJECT), str(ROOT)))
    platform = Shop(tmp_path_factory.mktemp("hostile"), RATE_LIMITS="off", PYTHONPATH=paths, SMTP_URL=NO_MAIL_SERVER)
    try:
        yield platform.up()
    finally:
        platform.down()


@pytest.fixture(scope="session")
def actors(shop: Shop) -> Actors:
    """The users of the platform and their objects."""
    return Actors(shop)
