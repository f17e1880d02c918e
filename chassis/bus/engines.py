"""The choice of the message bus by the settings."""

from chassis.bus import Bus
from chassis.bus.prefixed import PrefixedBus
from chassis.bus.sqlite.bus import SqliteBus
from chassis.settings import PLATFORM, Settings


def open_bus(settings: Settings) -> Bus:
    """Return the platform's bus. It connects at its first use, so a process may fork before.

    Raises SystemExit with one line for an operator if the settings contradict each other.
    """
    bus = _engine(settings)
    return PrefixedBus(bus, settings.prefix) if settings.prefix else bus


def _engine(settings: Settings) -> Bus:
    if settings.kafka_bootstrap_servers:
        from chassis.bus.kafka.bus import KafkaBus

        security = _security(settings)
        return KafkaBus(settings.kafka_bootstrap_servers, settings.replication, settings.lease, security)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteBus(settings.data_dir / "bus.db", settings.lease)


def _security(settings: Settings) -> dict[str, str]:
    """Return the settings of kafka-python."""
    protocol = settings.kafka_security_protocol
    if not protocol.startswith("SASL"):
        return {"security_protocol": protocol}
    if not settings.kafka_sasl_mechanism:
        raise SystemExit(f"{PLATFORM}: the setting KAFKA_SASL_MECHANISM: {protocol} needs one")
    return {
        "security_protocol": protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
    }
