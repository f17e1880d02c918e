"""`mercato status`: every process of the platform that runs on this machine, and what needs an operator."""

import sys
from collections.abc import Iterator

import click

from chassis.settings import settings
from mercato.cli.output import Row, cell, duration, new_table, print_json, print_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show what runs on this machine, and what needs you.

    For each process: whether it is ready and, if not, why; for a worker also its lag, the events that it has still to
    consume. Below: stores that take no write (each is tried), circuits that are open between services, sagas that are
    old or blocked, dead letters, and what is set aside.

    The exit code is 0 if every process is ready, every store takes writes and the administrator's account exists; 1 if
    not, or if nothing runs. Old sagas, dead letters and open circuits do not change it: the platform works.
    """
    from mercato.local.report import report

    run = report(settings().data_dir)
    if as_json:
        print_json(run)
    elif run is None:
        click.echo(f"mercato: nothing runs in {settings().data_dir}: start it with `mercato up`", err=True)
    else:
        _print_processes(run)
        for line in _failures(run):
            click.secho(line, fg="red")
        for line in _warnings(run):
            click.secho(line, fg="yellow")
    sys.exit(0 if run and run["ready"] else 1)


def _print_processes(run: Row) -> None:
    title = f"Mercato at {run['url']}, on {run['store']} and {run['bus']}"
    table = new_table("name", "kind", "", "state", "lag", "pid", "port", "health", "restarts", title=title)
    for process in run["processes"]:
        lag = "" if process["lag"] is None else process["lag"]
        style = "green" if process["ready"] else "bold red"
        ports = process["port"] or "", process["health_port"] or ""
        row = process["name"], process["kind"], process["number"], cell(process["state"], style), lag, process["pid"]
        table.add_row(*map(cell, (*row, *ports, process["restarts"])))
    print_table(table)


def _failures(run: Row) -> Iterator[str]:
    """Yield a line for everything because of which the platform does not work as it should."""
    from mercato.local.probes import READY
    from mercato.local.report import STOPPED

    if run["launcher"] != READY:
        yield f"the launcher is {STOPPED}, so nothing is restarted: continue it with `kill -CONT {run['pid']}`"
    if not run["complete"]:
        yield "still starting: not everything has been ready yet, or there is no administrator's account"
    for process in run["processes"]:
        if process["state"] == STOPPED:
            group = f"-- -{process['pid']}"
            remedy = f"continue it with `kill -CONT {group}`, or have it replaced with `kill -KILL {group}`"
            yield f"{_title(process)} is {STOPPED}: {remedy}"
    for name, state in run["writes"].items():
        if state != READY:
            yield f"{name} cannot write: {state}"
    if run["unknown"]:
        yield f"no worker answers, so sagas and dead letters are not known of {', '.join(run['unknown'])}"


def _warnings(run: Row) -> Iterator[str]:
    """Yield a line for everything else that needs an operator, or one that says that nothing does."""
    found = [
        *(f"circuit {each['state']}: {_title(each)} to {each['upstream']}" for each in run["breakers"]),
        *map(_old_sagas, run["sagas"]),
        *(
            f"dead letters of {service}: {count}: see mercato dlq list --service {service}"
            for service, count in run["deadLetters"].items()
        ),
        *(
            f"set aside in {service}: {count}: see mercato outbox --set-aside --service {service}"
            for service, count in run["setAside"].items()
        ),
    ]
    nothing = (
        "every store takes writes; no circuit is open, no saga old or blocked, no event a dead letter or set aside"
    )
    yield from found or ([nothing] if run["ready"] else [])


def _old_sagas(row: Row) -> str:
    blocked = f", {row['blocked']} of them blocked" if row["blocked"] else ""
    where = f"{row['open']} at {row['step'] or 'a step of a later release'}{blocked}"
    return f"sagas of {row['service']}: {where}, the oldest for {duration(row['oldestS'])}: see mercato sagas list"


def _title(process: Row) -> str:
    number = f" {process['number']}" if process["number"] > 1 else ""
    return f"{process['name']} {process['kind']}{number}"
