"""The commands that are one process of the platform: what a container, or the launcher, runs."""

from importlib import import_module
from typing import Any

import click

from mercato.settings import model_of


@click.command()
@click.argument("name")
def web(name: str) -> None:
    """Run a web process of a service."""
    from chassis.processes import run_web

    model_of(name).from_environment()  # reports a wrong setting once, before gunicorn forks
    run_web(name, lambda: _service(name))


@click.command()
@click.argument("name")
def worker(name: str) -> None:
    """Run a worker of a service.

    It runs the relay, consumers, sagas and scheduled jobs.
    """
    from chassis.processes import run_worker

    model_of(name).from_environment()  # reports a wrong setting before anything starts
    run_worker(lambda: _service(name))


@click.command()
def router() -> None:
    """Run the router in place of an Ingress.

    It sends each public path to its service.
    """
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
