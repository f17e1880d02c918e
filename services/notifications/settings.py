"""Settings of notifications."""

from functools import cache

from pydantic import SecretStr

from chassis.settings import PLATFORM, Settings


class NotificationsSettings(Settings):
    """Settings of every service, and those of notifications."""

    smtp_url: SecretStr = SecretStr("")
    """SMTP server, `smtp://user:password@host:port` or `smtps://`. Empty: no mail is sent."""
    mail_from: str = f"shop@{PLATFORM}.example"
    """Sender of every mail."""
    mail_dir: str = ""
    """Folder to which mails are written if `SMTP_URL` is empty; `mercato up` sets it. Empty: they are not written."""


@cache
def settings() -> NotificationsSettings:
    """Return the settings of this process."""
    return NotificationsSettings.from_environment()
