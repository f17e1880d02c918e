"""The commands of an operator: dead letters, outboxes, read models. They read the stores of the services."""

import sys
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import click
import orjson

from chassis.events import dead_letters, set_aside
from chassis.events.outbox import SET_ASIDE, SLOTS, pending_in_slots, return_set_aside
from chassis.service import Service
from chassis.store import Doc
from mercato.cli.output import as_json, print_json, print_rows
from mercato.cli.services import attach_store, installed_services, load_service

of_service = click.option("--service", "only", help="Only this service.")


@click.group()
def dlq() -> None:
    """Inspect, redrive and discard dead letters.

    A dead letter is an event whose handler failed; it parks later events of its key.
    """


@dlq.command("list")
@of_service
@click.option("--discarded", is_flag=True, help="List those that were discarded, and why.")
@as_json
def dlq_list(only: str | None, discarded: bool, as_json: bool) -> None:
    """List the dead letters; `behind` is how many events of the key wait behind one."""
    rows = (row for service in _consumers(only) for row in (_discarded_rows if discarded else _parked_rows)(service))
    print_rows(rows, as_json, "Discarded dead letters" if discarded else "Dead letters")


def _parked_rows(service: Service) -> Iterable[dict[str, Any]]:
    offsets: dict[tuple[str, str], list[int]] = defaultdict(list)
    for doc in dead_letters.collection.iterate():
        if doc["blocks"]:
            insort(offsets[doc["topic"], doc["key"]], doc["offset"])
    for doc in dead_letters.collection.iterate():
        blocked = offsets[doc["topic"], doc["key"]] if doc["blocks"] else []
        yield {
            "service": service.name,
            "id": doc["_id"],
            "type": doc["headers"].get("ce_type", ""),
            "key": doc["key"],
            "attempts": doc["attempts"],
            "behind": len(blocked) - bisect_right(blocked, doc["offset"]),
            "parkedAt": doc["parkedAt"],
            "reason": doc["reason"],
        }


def _discarded_rows(service: Service) -> Iterable[dict[str, Any]]:
    for doc in dead_letters.discarded.iterate():
        names = "type", "key", "attempts", "parkedAt", "discardedAt", "reason"
        yield {"service": service.name, "id": doc["_id"], **{name: doc[name] for name in names}}


@dlq.command("show")
@click.argument("service")
@click.argument("id")
def dlq_show(service: str, id: str) -> None:
    """Show one dead letter with its event, as JSON."""
    dead_letter = _dead_letter(service, id)
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


@dlq.command("discard")
@click.argument("service")
@click.argument("id")
@click.option("--reason", required=True, help="Why its event may be lost; without personal data, it is kept.")
def dlq_discard(service: str, id: str, reason: str) -> None:
    """Delete one dead letter for good, and record why: its event takes no effect."""
    if not reason.strip():
        raise click.ClickException("a discarded event needs a reason")
    dead_letter = _dead_letter(service, id)
    dead_letters.discard(dead_letter, reason.strip())
    click.echo(f"{id} is discarded")
    behind = [each for each in dead_letters.of_key(dead_letter["topic"], dead_letter["key"]) if each["blocks"]]
    if behind:
        redrive = f"mercato dlq redrive --service {service} --key {dead_letter['key']}"
        click.echo(f"{len(behind)} events of its key are still parked; handle them with: {redrive}")


@click.command()
@of_service
@click.option("--set-aside", "only_aside", is_flag=True, help="List what failed three times and is set aside, and why.")
@click.option("--retry", is_flag=True, help="Have the workers try again what is set aside.")
@as_json
def outbox(only: str | None, only_aside: bool, retry: bool, as_json: bool) -> None:
    """Count events that are not yet published, and what outboxes and jobs have set aside.

    What is set aside waits for `--retry`: an aggregate with all its events, or one entry of a job. The others go on.
    """
    rows: list[dict[str, Any]] = []
    for service in _services(only):
        attach_store(service)
        if retry:
            count = _retry_set_aside(service)
            click.echo(f"{service.name}: {count} entries are being tried again")
        elif only_aside:
            names = "source", "id", "attempts", "at", "reason"
            entries = set_aside.entries.iterate()
            rows += [{"service": service.name, **{name: entry[name] for name in names}} for entry in entries]
        else:
            rows += _outbox_rows(service)
    if not retry:
        print_rows(rows, as_json, "Set aside" if only_aside else "Outboxes")


def _outbox_rows(service: Service) -> Iterable[dict[str, Any]]:
    aside = Counter(entry["source"] for entry in set_aside.entries.iterate())
    for collection in (each.collection for each in service.outboxes):
        pending = collection.sum("pending", pending_in_slots(range(SLOTS)))
        count = aside.pop(collection.name, 0) or collection.count(SET_ASIDE)
        yield {"service": service.name, "collection": collection.name, "pending": pending, "setAside": count}
    for job, count in sorted(aside.items()):
        yield {"service": service.name, "collection": job, "pending": 0, "setAside": count}


def _retry_set_aside(service: Service) -> int:
    entries = list(set_aside.entries.iterate())
    for each in service.outboxes:
        return_set_aside(each.collection)
    for entry in entries:
        set_aside.entries.delete(entry["_id"], when={"at": entry["at"]})  # one that has failed again stays
    return len(entries)


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


def _consumers(only: str | None) -> Iterable[Service]:
    """Yield the services that consume events, each with its store attached."""
    for service in _services(only):
        if dead_letters.collection in service.collections:
            yield attach_store(service)


def _dead_letters(only: str | None) -> Iterable[tuple[Service, Doc]]:
    for service in _consumers(only):
        for dead_letter in dead_letters.collection.iterate():
            yield service, dead_letter


def _dead_letter(service: str, id: str) -> Doc:
    loaded = attach_store(load_service(service))
    is_consumer = dead_letters.collection in loaded.collections
    dead_letter = dead_letters.collection.get(id) if is_consumer else None
    if dead_letter is None:
        raise click.ClickException(f"{service} has no dead letter {id!r}; see mercato dlq list")
    return dead_letter


def _compact(doc: Doc | None) -> str:
    return orjson.dumps(doc).decode() if doc else ""
