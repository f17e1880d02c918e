"""Settings of notifications."""

from functools import cache
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from chassis.settings import PLATFORM, Settings, Unit, WebAddress


class NotificationsSettings(Settings):
    """Settings of every service, and those of notifications."""

    smtp_url: SecretStr = SecretStr("")
    """SMTP server, `smtp://user:password@host:port`, or `smtps://` for TLS at once. Empty: no mail is sent."""
    smtp_starttls: Literal["auto", "required", "off"] = "auto"
    """Whether an `smtp://` connection must become TLS before anything is sent; `auto`: if `SMTP_URL` has a user."""
    smtp_ca: str = ""
    """Certificate authorities (PEM) that the mail server is verified with. Empty: those of the system."""
    mails_per_s: Annotated[float, Unit("mails/s"), Field(ge=1, le=1000)] = 20.0
    """Mails that one worker sends at most."""
    mail_from: str = f"shop@{PLATFORM}.example"
    """Sender of every mail."""
    public_url: WebAddress = "http://127.0.0.1:8080"
    """That of `users`: links in mails begin with it."""
    mail_reply_to: str = ""
    """Address for replies. Empty: that of the sender."""
    mail_dir: str = ""
    """Folder to which mails are written if `SMTP_URL` is empty; `mercato up` sets it. Empty: they are not written."""

    @field_validator("smtp_url")
    @classmethod
    def _check_url(cls, value: SecretStr) -> SecretStr:
        url = urlsplit(value.get_secret_value())
        if value.get_secret_value() and (url.scheme not in ("smtp", "smtps") or not url.hostname):
            raise ValueError("it has the form smtp://user:password@host:port or smtps://user:password@host:port")
        return value


@cache
def settings() -> NotificationsSettings:
    """Return the settings of this process."""
    return NotificationsSettings.from_environment()
