"""How a command reaches the services: their code, their stores, and calls to the others."""

import sys
from importlib import import_module
from importlib.util import find_spec

import click

from chassis.service import Service
from chassis.settings import settings
from chassis.store import StoreUnavailable
from chassis.store.engines import open_store
from chassis.store.format import check_format
from mercato.catalog import catalog
from mercato.local.running_platform import platform_settings, store_settings


def load_service(name: str) -> Service:
    """Return a service by its name. Raises ClickException if it is unknown or not installed."""
    if name not in catalog():
        raise click.ClickException(f"there is no service {name!r}; there are {', '.join(catalog())}")
    if name not in installed_services():
        raise click.ClickException(f"the code of {name} is not installed here: run this command in a pod of {name}")
    service: Service = import_module(f"services.{name}.service").service
    return service


def installed_services() -> list[str]:
    """Return the services whose code is installed: an image has that of one service, and the messages of all."""
    return [name for name in catalog() if find_spec(f"services.{name}.service")]


def attach_store(service: Service) -> Service:
    """Attach the service's collections to its store, and return the service."""
    own = store_settings()
    store = open_store(own, service.name)
    try:
        check_format(store, own.prefix, own.installation)
        for collection in service.collections:
            collection.attach(store).ensure_indexes()
    except StoreUnavailable as error:
        raise click.ClickException(f"the store of {service.name} is unavailable: {error}") from None
    return service


def call_as(service: Service) -> None:
    """Let this process call other services in the name of this one.

    No circuit opens, so that an audit finds the one object of a hundred that a service cannot read.

    Raises: SystemExit with one line if no platform is found.
    """
    from chassis import calls
    from chassis.calls.breaker import BreakerPolicy
    from chassis.calls.discovery import resolver
    from chassis.calls.tokens import ServiceTokens

    platform = platform_settings(settings())
    tokens = ServiceTokens(service.name, platform.platform_secret.get_secret_value())
    never_open = BreakerPolicy(failure_rate=2.0, max_consecutive_failures=sys.maxsize)
    calls.use(
        calls.Client(
            tokens,
            lambda name: resolver(name, platform.addresses.get(name, "")),
            threads=2,
            breakers=dict.fromkeys(catalog(), never_open),
        )
    )
