"""The commands of an operator: dead letters, sagas, outboxes, read models. They read the stores of the services."""

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click
import orjson

from chassis.events import dead_letters
from chassis.events.outbox import find_pending
from chassis.service import Service
from chassis.settings import settings
from chassis.store import Doc, StoreUnavailable
from chassis.store.engines import open_store
from chassis.store.format import check_format
from mercato.catalog import catalog
from mercato.local.running_platform import joined, settings_here

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each.")
of_service = click.option("--service", "only", help="This service alone.")


def load(name: str) -> Service:
    """A service by its name."""
    if name not in catalog():
        raise click.ClickException(f"there is no service {name!r}; there are {', '.join(catalog())}")
    if name not in here():
        raise click.ClickException(f"the code of {name} is not here: ask where it runs, its web or its worker")
    service: Service = import_module(f"services.{name}.service").service
    return service


def here() -> list[str]:
    """The services whose code is here: an image has that of one service, and the messages of all."""
    return [name for name in catalog() if find_spec(f"services.{name}.service")]


def bound(service: Service) -> Service:
    """The service with its collections bound to its store, for reading."""
    store = open_store(settings_here(), service.name)
    try:
        check_format(store)
        for collection in service.collections:
            collection.attach(store).ensure_indexes()
    except StoreUnavailable as error:
        raise click.ClickException(f"the store of {service.name} does not answer: {error}") from None
    return service


def join(service: Service) -> None:
    """Speak to the other services as this one. Raises SystemExit with one line where no platform is to be found."""
    from chassis import calls
    from chassis.calls.discovery import resolver
    from chassis.calls.tokens import ServiceTokens

    platform = joined(settings())
    tokens = ServiceTokens(service.name, platform.platform_secret.get_secret_value(), frozenset())
    calls.use(calls.Client(tokens, lambda name: resolver(name, platform.addresses.get(name, "")), threads=2))


def show(rows: Iterable[dict[str, Any]], as_json: bool, title: str) -> int:
    """Print rows as a table, or each as a line of JSON; how many there were."""
    listed = list(rows)
    if as_json:
        for row in listed:
            click.echo(orjson.dumps(row))
    elif not listed:
        click.echo(f"{title}: none")
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(*listed[0], title=title)
        for row in listed:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)
    return len(listed)


def _services(only: str | None) -> Iterable[Service]:
    for name in [only] if only else here():
        yield load(name)


@click.group()
def dlq() -> None:
    """Dead letters: events whose handler failed, parked with their key."""


def _letters(only: str | None) -> Iterable[tuple[Service, Doc]]:
    for service in _services(only):
        if dead_letters.collection in service.collections:
            bound(service)
            for letter in dead_letters.collection.iterate():
                yield service, letter


@dlq.command("list")
@of_service
@as_json
def dlq_list(only: str | None, as_json: bool) -> None:
    """List what is parked."""
    rows = (
        {
            "service": service.name,
            "id": letter["_id"],
            "attempts": letter["attempts"],
            "parkedAt": letter["parkedAt"],
            "reason": letter["reason"],
        }
        for service, letter in _letters(only)
    )
    show(rows, as_json, "Dead letters")


@dlq.command("show")
@click.argument("service")
@click.argument("id")
def dlq_show(service: str, id: str) -> None:
    """Show one dead letter with its event, as JSON."""
    bound(load(service))
    letter = dead_letters.collection.get(id)
    if letter is None:
        raise click.ClickException(f"{service} has no dead letter {id!r}; see mercato dlq list")
    record = dead_letters.record_of(letter)
    shown = {**letter, "value": record.value.decode(errors="replace")}
    click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))


@dlq.command("redrive")
@of_service
@click.option("--key", help="The letters of this key alone.")
@click.option("--dry-run", is_flag=True, help="Only say what would be handled again.")
def dlq_redrive(only: str | None, key: str | None, dry_run: bool) -> None:
    """Ask the workers to handle parked events again, each key from its first one on."""
    count = 0
    for service, letter in _letters(only):
        if key is None or letter["key"] == key:
            count += 1
            if dry_run:
                click.echo(f"{service.name} {letter['_id']}")
            else:
                dead_letters.ask_redrive(letter)
    click.echo(f"{count} dead letters {'would be' if dry_run else 'are being'} handled again")


@click.group()
def sagas() -> None:
    """Sagas: where each stands, and what it did."""


@sagas.command("list")
@click.option("--all", "every", is_flag=True, help="Those that have ended, too.")
@as_json
def sagas_list(every: bool, as_json: bool) -> None:
    """List the sagas that have not ended."""
    rows = []
    for service in _services(None):
        for driver in service.drivers:
            bound(service)
            for doc in driver.collection.iterate(None if every else {"open": True}):
                step = driver.saga.steps[doc["step"]].name
                rows.append(
                    {
                        "saga": doc["saga"],
                        "id": doc["_id"],
                        "at": doc["ended"] or (f"undo {step}" if doc["undoing"] else step),
                        "tries": doc["tries"],
                        "openedAt": doc["openedAt"],
                        "reason": (doc["reason"] or {}).get("kind", ""),
                    }
                )
    show(rows, as_json, "Sagas")


@sagas.command("show")
@click.argument("id")
def sagas_show(id: str) -> None:
    """Show one saga with its log, as JSON; what is secret in it is left out."""
    for service in _services(None):
        for driver in service.drivers:
            bound(service)
            doc = driver.collection.get(id)
            if doc is not None:
                data = {name: value for name, value in doc["data"].items() if name not in driver.saga.secrets}
                click.echo(orjson.dumps({**doc, "data": data}, option=orjson.OPT_INDENT_2))
                return
    raise click.ClickException(f"there is no saga {id!r}; see mercato sagas list --all")


@click.command()
@as_json
def outbox(as_json: bool) -> None:
    """What waits to be published, for each service and collection."""
    rows = []
    for service in _services(None):
        bound(service)
        for each in service.outboxes:
            waiting = find_pending(each.collection, range(1000), 1000)
            rows.append({"service": service.name, "collection": each.collection.name, "waiting": _count(waiting)})
    show(rows, as_json, "Outboxes")


def _count(waiting: list[Doc]) -> int:
    return sum(doc["pending"] for doc in waiting)


@click.command()
@click.argument("name", metavar="SERVICE")
@as_json
def replay(name: str, as_json: bool) -> None:
    """Rebuild a service's read models from its streams and show every difference; exit 1 if there was any."""
    service = bound(load(name))
    if service.replay is None:
        raise click.ClickException(f"{name} has no read model to rebuild")
    rows = ({"id": id, "was": _short(was), "is": _short(now)} for id, was, now in service.replay())
    if show(rows, as_json, "Differences, now mended"):
        sys.exit(1)


def _short(doc: Doc | None) -> str:
    return orjson.dumps(doc).decode() if doc else ""
