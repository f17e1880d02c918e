"""The commands of an operator: dead letters, sagas, outboxes, read models. They read the stores of the services."""

import sys
from collections.abc import Iterable

import click
import orjson

from chassis.events import dead_letters
from chassis.events.outbox import find_pending
from chassis.service import Service
from chassis.store import Doc
from mercato.cli.output import as_json, print_json, print_rows
from mercato.cli.services import attach_store, installed_services, load_service

of_service = click.option("--service", "only", help="Only this service.")


@click.group()
def dlq() -> None:
    """Inspect and redrive dead letters.

    A dead letter is an event whose handler failed; it parks later events of its key.
    """


@dlq.command("list")
@of_service
@as_json
def dlq_list(only: str | None, as_json: bool) -> None:
    """List the dead letters."""
    rows = (
        {
            "service": service.name,
            "id": dead_letter["_id"],
            "attempts": dead_letter["attempts"],
            "parkedAt": dead_letter["parkedAt"],
            "reason": dead_letter["reason"],
        }
        for service, dead_letter in _dead_letters(only)
    )
    print_rows(rows, as_json, "Dead letters")


@dlq.command("show")
@click.argument("service")
@click.argument("id")
def dlq_show(service: str, id: str) -> None:
    """Show one dead letter with its event, as JSON."""
    attach_store(load_service(service))
    dead_letter = dead_letters.collection.get(id)
    if dead_letter is None:
        raise click.ClickException(f"{service} has no dead letter {id!r}; see mercato dlq list")
    record = dead_letters.to_record(dead_letter)
    print_json({**dead_letter, "value": record.value.decode(errors="replace")})


@dlq.command("redrive")
@of_service
@click.option("--key", help="Only the dead letters of this key.")
@click.option("--dry-run", is_flag=True, help="Only list what would be handled again.")
def dlq_redrive(only: str | None, key: str | None, dry_run: bool) -> None:
    """Ask the workers to handle dead letters again, each key in order."""
    count = 0
    for service, dead_letter in _dead_letters(only):
        if key is None or dead_letter["key"] == key:
            count += 1
            if dry_run:
                click.echo(f"{service.name} {dead_letter['_id']}")
            else:
                dead_letters.request_redrive(dead_letter)
    click.echo(f"{count} dead letters {'would be' if dry_run else 'are being'} handled again")


@click.group()
def sagas() -> None:
    """Inspect sagas."""


@sagas.command("list")
@click.option("--all", "include_ended", is_flag=True, help="Include the sagas that have ended.")
@as_json
def sagas_list(include_ended: bool, as_json: bool) -> None:
    """List the sagas that have not ended."""
    rows = []
    for service in _services(None):
        for driver in service.drivers:
            attach_store(service)
            for doc in driver.collection.iterate(None if include_ended else {"open": True}):
                step = driver.saga.steps[doc["step"]].name
                rows.append(
                    {
                        "saga": doc["saga"],
                        "id": doc["_id"],
                        "at": doc["ended"] or (f"undo {step}" if doc["undoing"] else step),
                        "attempts": doc["attempts"],
                        "openedAt": doc["openedAt"],
                        "reason": (doc["reason"] or {}).get("kind", ""),
                    }
                )
    print_rows(rows, as_json, "Sagas")


@sagas.command("show")
@click.argument("id")
def sagas_show(id: str) -> None:
    """Show one saga with its log, as JSON, without its secrets."""
    for service in _services(None):
        for driver in service.drivers:
            attach_store(service)
            doc = driver.collection.get(id)
            if doc is not None:
                data = {name: value for name, value in doc["data"].items() if name not in driver.saga.secrets}
                print_json({**doc, "data": data})
                return
    raise click.ClickException(f"there is no saga {id!r}; see mercato sagas list --all")


@click.command()
@as_json
def outbox(as_json: bool) -> None:
    """Count events that are not yet published."""
    rows = []
    for service in _services(None):
        attach_store(service)
        for each in service.outboxes:
            pending = sum(doc["pending"] for doc in find_pending(each.collection, range(1000), 1000))
            rows.append({"service": service.name, "collection": each.collection.name, "pending": pending})
    print_rows(rows, as_json, "Outboxes")


@click.command()
@click.argument("name", metavar="SERVICE")
@as_json
def replay(name: str, as_json: bool) -> None:
    """Rebuild the read models of a service.

    Reads the streams again and shows every difference; exit code 1 if there was one.
    """
    service = attach_store(load_service(name))
    if service.replay is None:
        raise click.ClickException(f"{name} has no read model to rebuild")
    rows = ({"id": id, "was": _compact(was), "is": _compact(now)} for id, was, now in service.replay())
    if print_rows(rows, as_json, "Differences, now repaired"):
        sys.exit(1)


def _services(only: str | None) -> Iterable[Service]:
    for name in [only] if only else installed_services():
        yield load_service(name)


def _dead_letters(only: str | None) -> Iterable[tuple[Service, Doc]]:
    for service in _services(only):
        if dead_letters.collection in service.collections:
            attach_store(service)
            for dead_letter in dead_letters.collection.iterate():
                yield service, dead_letter


def _compact(doc: Doc | None) -> str:
    return orjson.dumps(doc).decode() if doc else ""
