"""Which log carries the events: the one that the settings name."""

from chassis.bus import Bus
from chassis.bus.sqlite import SqliteBus
from chassis.settings import Settings


def open_bus(settings: Settings) -> Bus:
    """The platform's bus. Opens nothing yet: a process may fork before it is first used."""
    if settings.kafka_bootstrap_servers:
        raise SystemExit("mercato: the setting KAFKA_BOOTSTRAP_SERVERS: this installation has the embedded bus alone")
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteBus(settings.data_dir / "bus.db", settings.lease)
