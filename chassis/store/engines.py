"""Which engine a service's documents are kept in: the one that the settings name."""

from chassis.settings import PLATFORM, Settings
from chassis.store import Store
from chassis.store.sqlite.store import SqliteStore

OTHERS = 20
"""Threads of a process that use its store beside those of requests: relay, consumer, sagas, sweeps, probes."""


def open_store(settings: Settings, service: str) -> Store:
    """The store of one service. Opens nothing yet: a process may fork before it is first used.

    Raises SystemExit with one line a person can act on where the setting cannot be an address.
    """
    uri = settings.mongodb_uri.get_secret_value()
    if uri:
        from chassis.store.mongodb.client import is_address
        from chassis.store.mongodb.store import MongodbStore

        if not is_address(uri):
            raise SystemExit(
                f"{PLATFORM}: the setting MONGODB_URI: "
                "must be like mongodb://user:password@host:27017/?authSource=admin, "
                "with : / ? # [ ] @ % in the user or the password written as %3A and so on"
            )
        return MongodbStore(uri, service, settings.threads + OTHERS)
    folder = settings.data_dir / "store"
    for private in (settings.data_dir, folder):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteStore(folder / f"{service}.db")
