"""`mercato status`: every process of the platform that runs on this machine."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from chassis.settings import settings
from mercato.cli.output import print_json, print_table

_PROBE_TIMEOUT_S = 5.0  # for a busy process to answer


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show whether each process is ready.

    Lists the processes of the platform with their ports and, for workers, the events that they have still to consume.
    Exit code 1 if one is not ready, or if the administrator's account does not exist yet.
    """
    run = _status()
    if as_json:
        print_json(run)
    elif run is None:
        click.echo(f"mercato: nothing runs in {settings().data_dir}", err=True)
    else:
        _print_table(run)
    sys.exit(0 if run and run["ready"] else 1)


def _status() -> dict[str, Any] | None:
    """Return `run.json` with `ready` and `lag` as they are now, or None if nothing runs."""
    from mercato.local.probes import consumer_lag, is_ready
    from mercato.local.running_platform import find_run

    run = find_run(settings().data_dir)
    if run is None:
        return None
    processes = run["processes"]

    def probe(process: dict[str, Any]) -> dict[str, Any]:
        ready = is_ready(process["port"], process["health_port"], _PROBE_TIMEOUT_S)
        lag = consumer_lag(process["health_port"], _PROBE_TIMEOUT_S) if process["kind"] == "worker" else None
        return process | {"ready": ready, "lag": lag}

    with ThreadPoolExecutor(len(processes)) as pool:
        run["processes"] = list(pool.map(probe, processes))
    run["ready"] &= all(process["ready"] for process in run["processes"])
    given = run.pop("engines")
    run["store"] = "mongodb" if "MONGODB_URI" in given else "sqlite"
    run["bus"] = "kafka" if "KAFKA_BOOTSTRAP_SERVERS" in given else "sqlite"
    return run


def _print_table(run: dict[str, Any]) -> None:
    from rich.table import Table

    title = f"Mercato at {run['url']}, on {run['store']} and {run['bus']}"
    table = Table("name", "kind", "", "ready", "lag", "pid", "port", "health", "restarts", title=title)
    for process in run["processes"]:
        table.add_row(
            process["name"],
            process["kind"],
            str(process["number"]),
            "[green]yes[/]" if process["ready"] else "[red]no[/]",
            "" if process["lag"] is None else str(process["lag"]),
            str(process["pid"]),
            str(process["port"] or ""),
            str(process["health_port"] or ""),
            str(process["restarts"]),
        )
    print_table(table)
