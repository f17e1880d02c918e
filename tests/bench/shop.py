"""A platform to measure, in a folder that exists as long as it does."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.system.platform import Shop


@contextmanager
def running_shop(rate_limits: str = "off", **environment: str) -> Iterator[Shop]:
    """Start a platform with these settings, yield it, and stop it."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder), RATE_LIMITS=rate_limits, **environment)
        try:
            yield shop.up()
        finally:
            shop.down()
