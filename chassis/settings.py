"""Every setting of a process, read from its environment once, by name: `LEASE=3` sets `lease`."""

import os
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator


class Settings(BaseModel):
    """Times in seconds. What is not named here is not a setting."""

    model_config = ConfigDict(frozen=True)

    data_dir: Path = Path(".mercato")
    mongodb_uri: str = ""
    kafka_bootstrap_servers: str = ""

    host: str = "0.0.0.0"
    port: int = 8080
    health_port: int = 9090
    threads: int = Field(16, ge=1, le=256)
    addresses: dict[str, str] = {}
    """Where the others are, `users=127.0.0.1:8101,...`; a service not named is found by DNS under its name."""
    allowed_callers: frozenset[str] = frozenset()
    trusted_proxies: frozenset[str] = frozenset()
    platform_secret: SecretStr = SecretStr("")

    rate_limits: Literal["on", "off"] = "on"
    rate_anonymous: str = "100/15minutes"
    rate_user: str = "1200/minute"
    rate_read: str = "6000/minute"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    shutdown: float = 25.0
    """How long a process that was told to end may finish what it has begun."""
    deadline: float = 5.0
    checkout_deadline: float = 1.0
    lease: float = Field(10.0, gt=0)
    relay_pause: float = 0.1
    retention: float = 7 * 24 * 3600.0
    partitions: int = Field(4, ge=1)
    reservation: float = 15 * 60.0
    access_token: float = 10 * 60.0
    refresh_token: float = 14 * 24 * 3600.0
    key_rotation: float = 30 * 24 * 3600.0
    currency: str = "EUR"
    smtp_url: str = ""
    mail_from: str = "shop@mercato.example"
    admin_email: str = "admin@mercato.example"
    admin_password: SecretStr = SecretStr("")

    @field_validator("addresses", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if isinstance(value, str):
            return dict(pair.split("=", 1) for pair in value.split(",") if pair)
        return value

    @field_validator("allowed_callers", "trusted_proxies", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return [name for name in value.split(",") if name] if isinstance(value, str) else value


def from_environment(environment: dict[str, str] | None = None) -> Settings:
    """Read the settings. Raises SystemExit with one line a person can act on."""
    environment = dict(os.environ) if environment is None else environment
    named = {name: environment[name.upper()] for name in Settings.model_fields if name.upper() in environment}
    try:
        return Settings.model_validate(named)
    except ValidationError as error:
        first = error.errors()[0]
        raise SystemExit(f"mercato: the setting {str(first['loc'][0]).upper()}: {first['msg']}") from None


@cache
def settings() -> Settings:
    """This process's settings."""
    return from_environment()
