"""The commands that are a process of the platform: what a container, or the launcher, runs."""

from importlib import import_module
from typing import Any

import click

from chassis import lifeline
from mercato.settings import model_of


@click.command()
@click.argument("name")
def web(name: str) -> None:
    """Serve the HTTP API of a service."""
    from chassis.store.engines import open_store
    from chassis.web.server import serve

    settings = model_of(name).from_environment()  # reports a wrong setting once, before gunicorn forks
    open_store(settings, name)
    serve(lambda: _service(name).application(), settings.threads, lambda: _service(name).drain())


@click.command()
@click.argument("name")
def worker(name: str) -> None:
    """Run a service's relay, consumers, sagas and sweeps."""
    lifeline.watch()
    model_of(name).from_environment()  # reports a wrong setting before anything starts
    _service(name).worker()


@click.command()
def router() -> None:
    """Route the public paths to the services, in the Ingress's place."""
    from chassis.web.server import serve
    from mercato.local.router import THREADS, Router

    serve(Router, threads=THREADS)


def _service(name: str) -> Any:
    try:
        return import_module(f"services.{name}.service").service
    except ModuleNotFoundError as error:
        if error.name in ("services", f"services.{name}", f"services.{name}.service"):
            raise click.ClickException(f"there is no service {name!r}") from None
        raise
