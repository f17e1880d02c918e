"""Settings of users."""

from functools import cache
from typing import Literal

from pydantic import SecretStr

from chassis.settings import Seconds, Settings, WebAddress


class UsersSettings(Settings):
    """Settings of every service, and those of users."""

    access_token: Seconds = 10 * 60.0
    """Lifetime of an access token."""
    refresh_token: Seconds = 14 * 24 * 3600.0
    """Lifetime of a refresh token."""
    key_rotation: Seconds = 30 * 24 * 3600.0
    """Time after which a new signing key replaces the current one."""
    second_factor: Literal["optional", "required"] = "optional"
    """Whether administrators need a second factor; without it they have the rights of a customer until they enroll."""
    smtp_url: SecretStr = SecretStr("")
    """That of `notifications`. If it is set, addresses have to be confirmed; `users` never connects to it."""
    public_url: WebAddress = "http://127.0.0.1:8080"
    """Address of the shop as its users see it; links in mails begin with it."""
    unverified_orders: Literal["on", "off"] = "on"
    """Whether an account may order before its e-mail address is confirmed."""

    @property
    def confirms_addresses(self) -> bool:
        """Whether mail is sent, so that an address counts only once its owner has confirmed it."""
        return bool(self.smtp_url.get_secret_value())


@cache
def settings() -> UsersSettings:
    """Return the settings of this process."""
    return UsersSettings.from_environment()
