"""`mercato sagas`: see the sagas, and intervene where one waits for an operator."""

import sys
from collections import Counter
from collections.abc import Iterator

import click

from chassis import clock
from chassis.errors import DomainError
from chassis.operations.sagas import Sagas, Selection
from chassis.sagas import interventions
from chassis.sagas.driver import Driver
from mercato.cli.ids import choose
from mercato.cli.output import (
    Duration,
    Row,
    age,
    as_json,
    cell,
    duration,
    is_terminal,
    new_table,
    print_json,
    print_rows,
    print_table,
)
from mercato.cli.services import attach_store, installed_services, load_service


def _note(row: Row) -> object:
    if row["blocked"]:
        return cell("blocked", "bold red")
    return f"waits for a person until {row['waitingUntil']}" if row["waitingUntil"] else row["reason"]


_COLUMNS = {
    "id": lambda row: row["id"],
    "at": lambda row: cell(row["at"], "yellow" if row["at"].startswith("undo ") else ""),
    "service": lambda row: row["service"],
    "tries": lambda row: row["attempts"],
    "age": lambda row: age(row["openedAt"]),
    "note": _note,
}


@click.group()
def sagas() -> None:
    """See checkouts that have not ended, and step in.

    A checkout is a saga: work that spans several services, as a list of steps, each in one service. Its steps take
    stock and money. If one is rejected, those before it are undone in reverse order. Workers retry a step until it
    ends, so most sagas need nobody. A saga is blocked, and waits for you, after its step failed five times by a defect,
    for a minute. Others wait for a person, such as a buyer who has to confirm the payment at the bank, until a time.

    ID is the id of a saga, which is that of its order, or a beginning of it that no other saga has.
    """


@sagas.command("list")
@click.option("--all", "include_ended", is_flag=True, help="Include the sagas that have ended.")
@click.option("--blocked", is_flag=True, help="Only those that wait for an operator.")
@click.option("--waiting", is_flag=True, help="Only those that wait for a person, such as a buyer at the bank.")
@click.option("--undoing", is_flag=True, help="Only those that are being undone.")
@click.option("--step", default="", help="Only those at this step, such as 'take payment', forward or undone.")
@click.option("--older-than", "min_age_s", type=Duration(), default=0.0, help="Only those open for 90s, 5m, 2h, 1d ...")
@as_json
def sagas_list(
    include_ended: bool, blocked: bool, waiting: bool, undoing: bool, step: str, min_age_s: float, as_json: bool
) -> None:
    """List the sagas that have not ended.

    Each with its step, the service that carries that out, and `tries`, the failed attempts of that step. A line below
    the table sums up.
    """
    undoing, step = undoing or step.startswith("undo "), step.removeprefix("undo ")  # as the column `at` has it
    selection = Selection(include_ended, blocked, waiting, undoing, step, min_age_s)
    found = [Sagas(driver) for driver in _drivers()]
    known = list(dict.fromkeys(name for each in found for name in each.steps()))
    if step and step not in known:
        raise click.UsageError(f"there is no step {step!r}; there are {', '.join(known)}")
    rows = [row for each in found for row in each.find(selection)]
    kinds = {row["saga"] for row in rows}
    columns = {"saga": lambda row: row["saga"], **_COLUMNS} if len(kinds) > 1 else _COLUMNS
    print_rows(rows, as_json, "Sagas", columns)
    if rows and not as_json:
        click.echo(_summary(rows))


def _summary(rows: list[Row]) -> str:
    """Return one line about the sagas: how many, how old, where."""
    steps = Counter(row["at"] for row in rows)
    where = ", ".join(f"{count} {'' if at in ('done', 'undone') else 'at '}{at}" for at, count in steps.most_common())
    still_open = [row for row in rows if row["at"] not in ("done", "undone")]
    oldest = max((clock.seconds_since(row["openedAt"]) for row in still_open), default=0.0)
    old = f", the oldest open one for {duration(oldest)}" if still_open else ""
    blocked = sum(row["blocked"] for row in rows)
    return f"{len(rows)} saga{'s' if len(rows) > 1 else ''}{old}: {where}; {blocked or 'none'} blocked"


@sagas.command("show")
@click.argument("id")
@as_json
def sagas_show(id: str, as_json: bool) -> None:
    """Show one saga and its steps.

    Each step with its service, what came of it, and its last error. With --json, or if no terminal is there, as JSON,
    with the data of the saga and without its secrets.
    """
    id, found = _find(id)
    saga = found.show(id)
    if as_json or not is_terminal():
        print_json(saga)
    else:
        _print_saga(saga)


def _print_saga(saga: Row) -> None:
    """Print a saga for a person: where it is, then its steps."""
    if saga["ended"]:
        state = f"has ended {saga['ended']}"
    else:
        blocked = ", blocked" if saga.get("blocked") else ""
        waits = f", waits for a person until {saga['waitingUntil']}" if saga["waitingUntil"] else ""
        tries = f", {saga['attempts']} failed attempts" if saga["attempts"] else ""
        state = f"is at {saga['at']} ({saga['service']}){tries}{blocked}{waits}"
    click.echo(f"{saga['saga']} {saga['_id']} {state}; opened {age(saga['openedAt'])} ago")
    if saga["reason"]:
        click.echo(f"it is undone because of {saga['reason']['kind']}: {saga['reason']['detail']}")
    table = new_table("", "step", "service", "outcome", "times", "age", "detail")
    for number, step in enumerate(saga["steps"]):
        is_current = not saga["ended"] and number == saga["step"]
        row = ("▶" if is_current else "", *(step[name] for name in ("step", "service", "outcome", "times")))
        table.add_row(*(cell(each, "bold" if is_current else "") for each in (*row, age(step["at"]), step["detail"])))
    print_table(table)


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
    """Have blocked sagas tried again.

    A saga that is being undone is tried again at once, without waiting for its next attempt. The exit code is 1 if one
    of them could not be retried.
    """
    if bool(ids) == all_blocked:
        raise click.UsageError("name sagas by their ids, or all blocked ones with --blocked")
    failed = 0
    for given in _blocked() if all_blocked else ids:
        try:
            _intervene(given, "retried", reason)
        except click.ClickException as error:
            failed += 1
            click.echo(f"Error: {error.format_message()}", err=True)
    sys.exit(failed > 0)


@sagas.command("abort")
@click.argument("id")
@why
def sagas_abort(id: str, reason: str) -> None:
    """Undo what a saga did, and end it.

    A checkout can be aborted until its stock is confirmed.
    """
    _intervene(id, "aborted", reason)


@sagas.command("skip")
@click.argument("id")
@why
def sagas_skip(id: str, reason: str) -> None:
    """Go on after a blocked step.

    The saga continues as if the step were done. It must be one that is never undone and, of a checkout, before the
    payment.
    """
    _intervene(id, "skipped", reason)


def _intervene(given: str, outcome: str, reason: str) -> None:
    id, found = _find(given)
    try:
        found.intervene(id, outcome, reason)
    except DomainError as error:
        raise click.ClickException(f"saga {id} cannot be {outcome}: {error}") from None
    click.echo(f"{id} is {outcome}")


def _blocked() -> Iterator[str]:
    for driver in _drivers():
        for row in Sagas(driver).find(Selection(blocked=True)):
            yield row["id"]


def _find(given: str) -> tuple[str, Sagas]:
    """Return the whole id of a saga, and where it is."""
    found = [Sagas(driver) for driver in _drivers()]
    candidates = ((id, each) for each in found for id in each.ids(given))
    return choose(given, candidates, f"there is no saga {given!r}; see mercato sagas list --all")


def _drivers() -> Iterator[Driver]:
    """Yield the drivers of the installed services, each with its store attached."""
    for name in installed_services():
        service = load_service(name)
        if service.drivers:
            attach_store(service)
            yield from service.drivers
