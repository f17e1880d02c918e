"""Every setting of a process, read from its environment once, by name: `LEASE=3` sets `lease`."""

import os
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator

PLATFORM: Final = "mercato"
"""Name of the platform: in tokens, messages, metric names and the default data folder."""

RATE = r"^([1-9]\d{0,8})/([1-9]\d{0,4})?(second|minute|hour|day)s?$"
"""A rate limit, such as 100/15minutes."""
Rate = Annotated[str, StringConstraints(pattern=RATE)]


class Settings(BaseModel):
    """Times in seconds. What is not named here is not a setting."""

    model_config = ConfigDict(frozen=True)

    replicas: int = Field(1, ge=1, le=9)
    """How many processes of each kind `mercato up` starts for a service; in a cluster the chart says it."""
    data_dir: Path = Path(".mercato")
    mongodb_uri: SecretStr = SecretStr("")
    """Where the documents are; without it, in files under `data_dir`. A service's database has its name."""
    kafka_bootstrap_servers: str = ""
    """Where the events are; without it, in a file under `data_dir`."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")

    host: str = "0.0.0.0"
    port: int = 8080
    health_port: int = 9090
    threads: int = Field(16, ge=1, le=256)
    addresses: dict[str, str] = {}
    """Where the others are, `users=users-pods:8080||users:80,...`; one that is not named, under its name.

    `|` is between equals; what is behind `||` is asked only where none of those before it is fit.
    """
    balancing: Literal["round-robin", "random", "least-connections"] = "round-robin"
    """Which of a service's addresses a call goes to."""
    allowed_callers: frozenset[str] = frozenset()
    trusted_proxies: frozenset[IPv4Network | IPv6Network] = frozenset()
    """Whose X-Forwarded-For counts: addresses and networks, `127.0.0.1,10.0.0.0/8`."""
    platform_secret: SecretStr = SecretStr("")

    rate_limits: Literal["on", "off"] = "on"
    rate_anonymous: Rate = "100/15minutes"
    rate_user: Rate = "1200/minute"
    rate_read: Rate = "6000/minute"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    shutdown: float = 25.0
    """How long a process that was told to end may finish what it has begun."""
    deadline: float = 5.0
    checkout_deadline: float = 1.0
    open_checkouts: int = Field(5, ge=1)
    """How many orders of one user may be undecided at once; without rate limits, any number."""
    order_units: int = Field(10_000, ge=1)
    lease: float = Field(10.0, gt=0)
    relay_pause: float = 0.1
    retention: float = 7 * 24 * 3600.0
    partitions: int = Field(4, ge=1)
    replication: int = Field(1, ge=1)
    """How many brokers keep each record."""
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
