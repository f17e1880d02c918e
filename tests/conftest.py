"""What all tests share."""

import pytest

from chassis import clock
from chassis.testing import FakeClock


@pytest.fixture
def fake_clock():
    """Time that the test owns: `pass_time(seconds)`."""
    fake = FakeClock()
    clock.use(fake)
    yield fake
    clock.use(clock.Clock())
