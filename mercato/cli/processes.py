"""The commands that are one process of the platform: what a container, or the launcher, runs."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from mercato.settings import model_of


@click.command()
@click.argument("name")
def web(name: str) -> None:
    """Run a web process of a service."""
    from chassis.processes import run_web

    _require_service(name)  # this and the settings are checked before gunicorn forks
    model_of(name).from_environment()
    run_web(name, lambda: _service(name))


@click.command()
@click.argument("name")
def worker(name: str) -> None:
    """Run a worker of a service.

    It runs the relay, consumers, sagas and scheduled jobs.
    """
    from chassis.processes import run_worker

    _require_service(name)
    model_of(name).from_environment()
    run_worker(lambda: _service(name))


@click.command()
def router() -> None:
    """Run the router in place of an Ingress.

    It sends each public path to its service.
    """
    from chassis.web.server import serve
    from mercato.local.router import THREADS, Router

    serve(Router, threads=THREADS)


def _require_service(name: str) -> None:
    """Raise ClickException if this service is not installed here."""
    if not name.isidentifier() or not find_spec(f"services.{name}") or not find_spec(f"services.{name}.service"):
        raise click.ClickException(f"there is no service {name!r}")


def _service(name: str) -> Any:
    return import_module(f"services.{name}.service").service
