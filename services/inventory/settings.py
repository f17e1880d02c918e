"""Settings of inventory."""

from functools import cache

from chassis.settings import Seconds, Settings


class InventorySettings(Settings):
    """Settings of every service, and those of inventory."""

    reservation: Seconds = 15 * 60.0
    """Time that a reservation holds stock."""


@cache
def settings() -> InventorySettings:
    """Return the settings of this process."""
    return InventorySettings.from_environment()
