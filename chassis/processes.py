"""The two processes of a service: `web` serves its API, `worker` runs its background work."""

from collections.abc import Callable

from chassis import lifeline
from chassis.service import Service
from chassis.settings import settings
from chassis.store.engines import open_store


def run_web(name: str, load: Callable[[], Service]) -> None:
    """Serve the API of a service on HOST:PORT until SIGTERM; `load` imports the service, after gunicorn's fork."""
    from chassis.web.server import serve

    open_store(settings(), name)  # reports a wrong setting once, not once per process of gunicorn
    serve(lambda: load().application(), settings().threads, lambda: load().drain())


def run_worker(load: Callable[[], Service]) -> None:
    """Run relay, consumer, sagas and scheduled jobs of a service until SIGTERM."""
    lifeline.watch()
    load().worker()
