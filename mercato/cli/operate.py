"""The commands of an operator: dead letters, outboxes, read models. They read the stores of the services."""

import sys
from collections.abc import Iterator
from shlex import quote
from typing import Any

import click
import orjson

from chassis.events import dead_letters
from chassis.operations.dead_letters import DeadLetters
from chassis.operations.outboxes import Outboxes
from chassis.service import Service
from chassis.store import Doc
from mercato.cli.ids import choose
from mercato.cli.output import age, as_json, print_json, print_rows
from mercato.cli.services import attach_store, installed_services, load_service

_PARKED = {
    "service": lambda row: row["service"],
    "id": lambda row: row["id"],
    "type": lambda row: row["type"],
    "key": lambda row: row["key"],
    "attempts": lambda row: row["attempts"],
    "behind": lambda row: row["behind"],
    "age": lambda row: age(row["parkedAt"]),
    "reason": lambda row: row["reason"],
}

of_service = click.option("--service", "only", help="Only this service.")


@click.group()
def dlq() -> None:
    """See events that could not be handled, and redrive them.

    An event that a service could not handle is stored there as a dead letter, with the reason; DLQ stands for dead
    letter queue. Its key, mostly the id of an order or a product, is parked: later events with that key wait behind it,
    so that they take effect in order. Events with other keys are handled. Correct the cause, then redrive; or discard
    what must not take effect.

    ID is the id of a dead letter, or a beginning of it that no other one of the service has.
    """


@dlq.command("list")
@of_service
@click.option("--discarded", is_flag=True, help="List those that were discarded, and why.")
@as_json
def dlq_list(only: str | None, discarded: bool, as_json: bool) -> None:
    """List the dead letters.

    `behind` is how many later events of the key wait behind one.
    """
    if discarded:
        print_rows((row for each in _consumers(only) for row in each.discarded()), as_json, "Discarded dead letters")
    else:
        print_rows((row for each in _consumers(only) for row in each.parked()), as_json, "Dead letters", _PARKED)


@dlq.command("show")
@click.argument("service")
@click.argument("id")
@as_json
def dlq_show(service: str, id: str, as_json: bool) -> None:
    """Show one dead letter with its event, as JSON."""
    id, found = _find(service, id)
    print_json(found.show(id))


@dlq.command("redrive")
@of_service
@click.option("--key", help="Only the dead letters of this key.")
@click.option("--dry-run", is_flag=True, help="Only list what would be handled again.")
@as_json
def dlq_redrive(only: str | None, key: str | None, dry_run: bool, as_json: bool) -> None:
    """Have dead letters handled again.

    The workers handle the events of each key in order. One that fails again stays, with the reason.
    """
    count = 0
    for row in (row for each in _consumers(only) for row in each.redrive(key, dry_run)):
        count += 1
        if as_json:
            click.echo(orjson.dumps(row))
        elif dry_run:
            click.echo(f"{row['service']} {row['id']}")
    if not as_json:
        click.echo(f"{count} dead letters {'would be' if dry_run else 'are being'} handled again")


@dlq.command("discard")
@click.argument("service")
@click.argument("id")
@click.option("--reason", required=True, help="Why its event may be lost; without personal data, it is kept.")
def dlq_discard(service: str, id: str, reason: str) -> None:
    """Delete one dead letter for good.

    Its event takes no effect in SERVICE. What is kept: its id, type and key, and the reason.
    """
    if not reason.strip():
        raise click.ClickException("a discarded event needs a reason")
    id, found = _find(service, id)
    key, behind = found.discard(id, reason.strip())
    click.echo(f"{id} is discarded")
    if behind:
        redrive = f"mercato dlq redrive --service {service} --key {quote(key)}"
        click.echo(f"{behind} events of its key are still parked; handle them with: {redrive}")


@click.command()
@of_service
@click.option("--set-aside", "only_aside", is_flag=True, help="List what failed three times and is set aside, and why.")
@click.option("--retry", is_flag=True, help="Have the workers try again what is set aside.")
@as_json
def outbox(only: str | None, only_aside: bool, retry: bool, as_json: bool) -> None:
    """Count events that are not published yet.

    A service stores an event together with the change that it reports, in an outbox; its worker publishes it within
    moments. `pending` stays high where the worker or the message bus is down; no event is lost.

    What failed three times by a defect is set aside, so that the others go on: all events of one object in an outbox,
    or one entry of a job. It waits for `--retry`.
    """
    if retry and only_aside:
        raise click.UsageError("use --set-aside to list entries, then --retry alone to have them tried again")
    rows: list[dict[str, Any]] = []
    for name, outboxes in _outboxes(only):
        if retry:
            count = outboxes.retry_set_aside()
            row = {"service": name, "retried": count}
            click.echo(orjson.dumps(row) if as_json else f"{name}: {count} entries are being tried again")
        else:
            rows += outboxes.set_aside() if only_aside else outboxes.counts()
    if not retry:
        print_rows(rows, as_json, "Set aside" if only_aside else "Outboxes")


@click.command()
@click.argument("name", metavar="SERVICE")
@as_json
def replay(name: str, as_json: bool) -> None:
    """Rebuild the read models of a service.

    That is what SERVICE derives from its events, such as the list of orders. The platform may run meanwhile. Reads the
    events again, repairs every difference and shows it; exit code 1 if there was one.
    """
    service = attach_store(load_service(name))
    if service.replay is None:
        raise click.ClickException(f"{name} has no read model to rebuild")
    rows = ({"id": id, "was": _compact(was), "is": _compact(now)} for id, was, now in service.replay())
    if print_rows(rows, as_json, "Differences, now repaired"):
        sys.exit(1)


def _services(only: str | None) -> Iterator[Service]:
    for name in [only] if only else installed_services():
        yield load_service(name)


def _outboxes(only: str | None) -> Iterator[tuple[str, Outboxes]]:
    """Yield the outboxes of each service; use them before the next: services share collections."""
    for service in _services(only):
        attach_store(service)
        yield service.name, Outboxes(service.name, service.outboxes)


def _consumers(only: str | None) -> Iterator[DeadLetters]:
    """Yield the dead letters of each service that consumes events; use them before the next: they share collections."""
    for service in _services(only):
        if dead_letters.collection in service.collections:
            attach_store(service)
            yield DeadLetters(service.name)


def _find(service: str, given: str) -> tuple[str, DeadLetters]:
    """Return the whole id of a dead letter, and where it is."""
    candidates = ((id, each) for each in _consumers(service) for id in each.ids(given))
    return choose(given, candidates, f"{service} has no dead letter {given!r}; see mercato dlq list")


def _compact(doc: Doc | None) -> str:
    return orjson.dumps(doc).decode() if doc else ""
