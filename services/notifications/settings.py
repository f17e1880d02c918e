"""Settings of notifications."""

from functools import cache

from chassis.settings import PLATFORM, Settings


class NotificationsSettings(Settings):
    """Settings of every service, and those of notifications."""

    smtp_url: str = ""
    """SMTP server, `smtp://user:password@host:port` or `smtps://`. Empty: no mail is sent."""
    mail_from: str = f"shop@{PLATFORM}.example"
    """Sender of every mail."""


@cache
def settings() -> NotificationsSettings:
    """Return the settings of this process."""
    return NotificationsSettings.from_environment()
