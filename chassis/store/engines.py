"""The choice of the store's engine by the settings."""

from chassis.settings import PLATFORM, Settings
from chassis.store import Store
from chassis.store.sqlite.store import SqliteStore

BACKGROUND_THREADS = 20
"""Threads of a process that use its store besides those of requests: relay, consumer, sagas, jobs, probes."""


def open_store(settings: Settings, service: str) -> Store:
    """Return the store of one service. It connects at its first use, so a process may fork before.

    Raises SystemExit with one line for an operator if MONGODB_URI is not a valid URI.
    """
    uri = settings.mongodb_uri.get_secret_value()
    if uri:
        from chassis.store.mongodb.client import is_uri
        from chassis.store.mongodb.store import MongodbStore

        if not is_uri(uri):
            raise SystemExit(
                f"{PLATFORM}: the setting MONGODB_URI: "
                "must be like mongodb://user:password@host:27017/?authSource=admin, "
                "with : / ? # [ ] @ % in the user or the password written as %3A and so on"
            )
        return MongodbStore(uri, settings.prefix + service, settings.threads + BACKGROUND_THREADS)
    folder = settings.data_dir / "store"
    for directory in (settings.data_dir, folder):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteStore(folder / f"{service}.db")
