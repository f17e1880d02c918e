"""Settings of users."""

from functools import cache

from chassis.settings import Seconds, Settings


class UsersSettings(Settings):
    """Settings of every service, and those of users."""

    access_token: Seconds = 10 * 60.0
    """Lifetime of an access token."""
    refresh_token: Seconds = 14 * 24 * 3600.0
    """Lifetime of a refresh token."""
    key_rotation: Seconds = 30 * 24 * 3600.0
    """Time after which a new signing key replaces the current one."""


@cache
def settings() -> UsersSettings:
    """Return the settings of this process."""
    return UsersSettings.from_environment()
