"""Settings of a process, read from its environment once, by name: `LEASE=3` sets `lease`.

`Settings` holds what every service needs. A service that needs more derives a model of its own in its settings.py.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator

PLATFORM: Final = "mercato"
"""Name of the platform: in tokens, messages, metric names and the default data folder."""


@dataclass(frozen=True)
class Unit:
    """Unit of a setting, for its documentation."""

    name: str


RATE: Final = r"^([1-9]\d{0,8})/([1-9]\d{0,4})?(second|minute|hour|day)s?$"
Rate = Annotated[str, StringConstraints(pattern=RATE), Unit("requests per period")]
"""A rate limit, such as `100/15minutes`."""
Seconds = Annotated[float, Unit("s"), Field(ge=0, le=10**9)]


Port = Annotated[int, Field(ge=0, le=65535)]
Host = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9.-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9.-]+)?)$")]
Origin = Annotated[str, StringConstraints(pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$")]
"""An origin as browsers write it (RFC 6454): in lower case, without a path."""
WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")]


class Settings(BaseModel):
    """Settings of every service. The environment may hold other variables; they are ignored."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    data_dir: Path = Path(f".{PLATFORM}")
    """Folder of the SQLite files, where no MongoDB or Kafka is set."""
    mongodb_uri: SecretStr = SecretStr("")
    """MongoDB connection string. Empty: SQLite files in `DATA_DIR`. The database of a service has its name."""
    prefix: Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9_-]{0,30})?$")] = ""
    """Prefix of the names of MongoDB databases, topics and consumer groups, where platforms share engines: `north-`."""
    installation: str = ""
    """Name of this platform. A store belongs to the first named platform that uses it, and rejects all others."""
    kafka_bootstrap_servers: str = ""
    """Kafka brokers, `host:port,host:port`. Empty: a SQLite file in `DATA_DIR`."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Security protocol of the Kafka listener."""
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    """SASL mechanism; required by the `SASL_*` protocols."""
    kafka_sasl_username: str = ""
    """SASL user name."""
    kafka_sasl_password: SecretStr = SecretStr("")
    """SASL password."""

    host: Host = "0.0.0.0"
    """Address that the web process and the health endpoint bind to; `::` for IPv6 and IPv4."""
    port: Port = 8080
    """Port of the web process."""
    health_port: Port = 9090
    """Port of the health and metrics endpoint."""
    threads: int = Field(16, ge=1, le=256)
    """Worker threads of a web process."""
    addresses: dict[str, str] = {}
    """Addresses of other services, `users=users-pods:8080||users:80,...`; a service not listed is found by its name.

    `|` separates equal addresses; those behind `||` are used only while none before it is healthy.
    """
    balancing: Literal["round-robin", "random", "least-connections"] = "round-robin"
    """Policy that chooses among the addresses of a service."""
    trusted_proxies: frozenset[IPv4Network | IPv6Network] = frozenset()
    """Proxies whose `X-Forwarded-For` is believed: addresses and networks, `127.0.0.1,10.0.0.0/8`."""
    cors_origins: frozenset[Origin] = frozenset()
    """Origins whose scripts in a browser may use the API: exact ones, `https://shop.example,http://localhost:3000`."""
    hsts: Annotated[int, Unit("s"), Field(ge=0)] = 0
    """Time for which browsers use HTTPS alone (`Strict-Transport-Security`); 0 leaves the header to the edge."""
    platform_secret: SecretStr = SecretStr("")
    """Secret of 32 characters or more that all services share; it signs the calls between them."""
    platform_secret_accepted: SecretStr = SecretStr("")
    """A second accepted secret while `PLATFORM_SECRET` is replaced: first the next one, later the former one."""

    rate_limits: Literal["on", "off"] = "on"
    """Whether rate limits and per-user quotas are enforced."""
    rate_anonymous: Rate = "100/15minutes"
    """Rate limit of writes of an address without a user."""
    rate_user: Rate = "1200/minute"
    """Rate limit of writes of a user."""
    rate_read: Rate = "6000/minute"
    """Rate limit of reads."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    strict_errors: Literal["on", "off"] = "off"
    """Whether a domain error that a route or command does not declare is answered with 500. Tests turn it on."""

    shutdown: Seconds = 25.0
    """Time after SIGTERM that a process may take to finish its work."""
    deadline: Seconds = 5.0
    """Longest time that a request may take."""
    lease: Annotated[Seconds, Field(gt=0)] = 10.0
    """Time after which another process takes over the work of one that died."""
    relay_pause: Seconds = 0.1
    """Pause between two polls of the outbox."""
    retention: Seconds = 7 * 24 * 3600.0
    """Time that a topic keeps its records."""
    partitions: int = Field(4, ge=1)
    """Partitions of a new topic."""
    replication: int = Field(1, ge=1)
    """Brokers that keep each record of a new topic."""

    @property
    def platform_secrets(self) -> tuple[str, ...]:
        """The accepted secrets of the platform; the first signs."""
        secret, accepted = self.platform_secret.get_secret_value(), self.platform_secret_accepted.get_secret_value()
        return (secret, accepted) if accepted else (secret,)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the settings. Raises SystemExit with one line that names the wrong setting."""
        environment = os.environ if environment is None else environment
        given = {name: environment[name.upper()] for name in cls.model_fields if name.upper() in environment}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            raise SystemExit(f"{PLATFORM}: the setting {str(first['loc'][0]).upper()}: {first['msg']}") from None

    @field_validator("addresses", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        if isinstance(value, str):
            return dict(pair.split("=", 1) for pair in value.split(",") if pair)
        return value

    @field_validator("trusted_proxies", "cors_origins", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return [name for name in value.split(",") if name] if isinstance(value, str) else value


@cache
def settings() -> Settings:
    """Return the settings of this process."""
    return Settings.from_environment()


@dataclass(frozen=True)
class Description:
    """Documentation of one setting."""

    name: str
    default: str
    unit: str
    meaning: str


def describe(model: type[Settings]) -> list[Description]:
    """Describe the settings that this model itself declares, in order; those that it inherits are left out."""
    return [
        Description(
            name.upper(),
            _shown(field.default),
            next((each.name for each in field.metadata if isinstance(each, Unit)), ""),
            (field.description or "").strip(),
        )
        for name, field in model.model_fields.items()
        if name in model.__annotations__
    ]


def _shown(default: Any) -> str:
    if isinstance(default, SecretStr | dict | frozenset):
        return ""
    return str(int(default)) if isinstance(default, float) and default.is_integer() else str(default)
