"""Which engine a service's documents are kept in: the one that the settings name."""

from chassis.settings import Settings
from chassis.store import Store
from chassis.store.sqlite import SqliteStore


def open_store(settings: Settings, service: str) -> Store:
    """The store of one service. Opens nothing yet: a process may fork before it is first used."""
    if settings.mongodb_uri.get_secret_value():
        raise SystemExit("mercato: the setting MONGODB_URI: this installation has the embedded store alone")
    folder = settings.data_dir / "store"
    for private in (settings.data_dir, folder):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteStore(folder / f"{service}.db")
