"""`mercato sagas`: see the sagas, and intervene where one waits for an operator."""

import sys
from collections.abc import Iterator

import click

from chassis.errors import DomainError
from chassis.sagas import interventions
from chassis.sagas.driver import Driver
from chassis.sagas.interventions import Intervention
from chassis.store import Doc
from mercato.cli.output import as_json, print_json, print_rows
from mercato.cli.services import attach_store, installed_services, load_service


@click.group()
def sagas() -> None:
    """Inspect sagas; retry, abort or skip a blocked one.

    A saga is blocked after its current step failed five times by a defect, for a minute.
    """


@sagas.command("list")
@click.option("--all", "include_ended", is_flag=True, help="Include the sagas that have ended.")
@click.option("--blocked", "only_blocked", is_flag=True, help="Only the sagas that wait for an operator.")
@as_json
def sagas_list(include_ended: bool, only_blocked: bool, as_json: bool) -> None:
    """List the sagas that have not ended."""
    rows = []
    for driver in _drivers():
        for doc in driver.collection.iterate(None if include_ended else {"open": True}):
            if only_blocked and not doc.get("blocked"):
                continue
            saga = driver.find_definition(doc)
            step = saga.steps[doc["step"]].name if saga else "a step of a later release"
            rows.append(
                {
                    "saga": doc["saga"],
                    "id": doc["_id"],
                    "at": doc["ended"] or (f"undo {step}" if doc["undoing"] else step),
                    "attempts": doc["attempts"],
                    "openedAt": doc["openedAt"],
                    "reason": (doc["reason"] or {}).get("kind", ""),
                    "blocked": doc.get("blocked", False),
                }
            )
    print_rows(rows, as_json, "Sagas")


@sagas.command("show")
@click.argument("id")
def sagas_show(id: str) -> None:
    """Show one saga with its log, as JSON, without its secrets."""
    driver, doc = _find(id)
    data = {name: value for name, value in doc["data"].items() if name not in driver.saga.secrets}
    print_json({**doc, "data": data})


def _check_reason(ctx: click.Context, param: click.Parameter, reason: str) -> str:
    reason = " ".join(reason.split())
    if not 0 < len(reason) <= interventions.MAX_REASON or not reason.isprintable():
        raise click.BadParameter(f"must be a line of 1 to {interventions.MAX_REASON} characters")
    return reason


why = click.option(
    "--reason", required=True, callback=_check_reason, help="Kept in the log of the saga; without personal data."
)


@sagas.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--blocked", "all_blocked", is_flag=True, help="Every blocked saga, after the defect is corrected.")
@why
def sagas_retry(ids: tuple[str, ...], all_blocked: bool, reason: str) -> None:
    """Have the workers try blocked sagas again, or a compensation at once."""
    if bool(ids) == all_blocked:
        raise click.UsageError("name sagas by their ids, or all blocked ones with --blocked")
    failed = 0
    for id in _blocked() if all_blocked else ids:
        try:
            _intervene(_find(id)[0], id, interventions.retry, "retried", reason)
        except click.ClickException as error:
            failed += 1
            click.echo(f"Error: {error.format_message()}", err=True)
    sys.exit(failed > 0)


@sagas.command("abort")
@click.argument("id")
@why
def sagas_abort(id: str, reason: str) -> None:
    """End a saga by compensating what it did; of a checkout, until the stock is confirmed."""
    _intervene(_find(id)[0], id, interventions.abort, "aborted", reason)


@sagas.command("skip")
@click.argument("id")
@why
def sagas_skip(id: str, reason: str) -> None:
    """Go on after a blocked step that has no compensation, as if it were done; of a checkout, until the payment."""
    _intervene(_find(id)[0], id, interventions.skip, "skipped", reason)


def _intervene(driver: Driver, id: str, intervention: Intervention, outcome: str, reason: str) -> None:
    try:
        interventions.intervene(driver, id, intervention, outcome, reason)
    except DomainError as error:
        raise click.ClickException(f"saga {id} cannot be {outcome}: {error}") from None
    click.echo(f"{id} is {outcome}")


def _blocked() -> Iterator[str]:
    for driver in _drivers():
        for doc in driver.collection.iterate({"open": True}):
            if doc.get("blocked"):
                yield doc["_id"]


def _find(id: str) -> tuple[Driver, Doc]:
    for driver in _drivers():
        doc = driver.collection.get(id)
        if doc is not None:
            return driver, doc
    raise click.ClickException(f"there is no saga {id!r}; see mercato sagas list --all")


def _drivers() -> Iterator[Driver]:
    """Yield the drivers of the installed services, each with its store attached."""
    for name in installed_services():
        service = load_service(name)
        if service.drivers:
            attach_store(service)
            yield from service.drivers
