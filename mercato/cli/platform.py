"""The commands that run the platform on this machine."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from runpy import run_module
from typing import Any

import click
import orjson

from chassis import clock
from mercato.settings import check_all, settings

_PROBE = 3.0  # seconds for a busy process to say how it is
_PATIENCE = 75.0  # seconds for `up --detach`: the launcher itself gives up waiting at 60


@click.command()
@click.option("--detach", is_flag=True, help="Return when everything is ready and leave it running.")
@click.option("--background", is_flag=True, hidden=True)
def up(detach: bool, background: bool) -> None:
    """Start the platform here: PORT (8080), DATA_DIR (.mercato), ADMIN_EMAIL, ADMIN_PASSWORD, RATE_LIMITS."""
    from chassis.bus.engines import open_bus
    from chassis.store.engines import open_store
    from mercato.local.launcher import Launcher, open_folder
    from mercato.local.screen import Screen

    check_all()
    if detach:
        _detached()
    else:
        open_folder(settings().data_dir)
        for engine in (open_store(settings(), "up"), open_bus(settings())):  # they say what is wrong with a setting
            engine.close()
        Launcher(settings(), Screen(reveals=not background)).run()


def _detached() -> None:
    from mercato.local.launcher import open_folder, shown
    from mercato.local.screen import Screen

    folder, begun = open_folder(settings().data_dir), clock.monotonic()
    log = folder.log("up")
    folder.rotate("up")
    with log.open("ab") as output:
        said = output.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "mercato.cli", "up", "--background"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while clock.monotonic() - begun < _PATIENCE:
        if process.poll() is not None:
            raise SystemExit(log.read_bytes()[said:].decode(errors="replace").strip() or "mercato: it ended at once")
        run = folder.read("run.json") or {}
        if run.get("pid") == process.pid and run["ready"]:
            Screen().welcome(run["url"], folder.read("admin.json"), f"{clock.monotonic() - begun:.1f} s")
            return
        clock.sleep(0.05)
    raise SystemExit(f"mercato: not everything is ready after {_PATIENCE:.0f} s: see {shown(log)}")


@click.command()
def down() -> None:
    """End the platform that runs here; its data stay."""
    from mercato.local.child import born
    from mercato.local.launcher import end_leftovers, open_folder, shown

    folder = open_folder(settings().data_dir)
    if folder.lock():
        end_leftovers(folder)
        click.echo(f"mercato: nothing runs in {shown(folder.path)}")
        return
    run = folder.read("run.json") or {}
    if not run or born(run["pid"]) != run["started"]:
        raise SystemExit("mercato: it is just starting or ending: try again")
    os.kill(run["pid"], signal.SIGTERM)
    until = clock.monotonic() + settings().shutdown + 10
    while born(run["pid"]) == run["started"] or not folder.lock():
        if clock.monotonic() > until:
            os.kill(run["pid"], signal.SIGKILL)
        clock.sleep(0.05)
    end_leftovers(folder)
    click.echo(f"mercato: {run['url']} has ended")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(as_json: bool) -> None:
    """Show every process that `up` started here, whether it is ready, and how many events wait for it.

    Exit code 1 when one is not ready, or the administrator's account is not made yet.
    """
    run = _status()
    if as_json:
        click.echo(orjson.dumps(run, option=orjson.OPT_INDENT_2))
    elif run is None:
        click.echo(f"mercato: nothing runs in {settings().data_dir}", err=True)
    else:
        _table(run)
    sys.exit(0 if run and run["ready"] else 1)


@click.command()
def demo() -> None:
    """Play a customer and an administrator here, step by step. Exit code 1 when a step comes out otherwise."""
    if find_spec("demo") is None:
        raise click.ClickException("the demo is in the source tree, and not in what is installed here")
    run_module("demo", run_name="__main__")


def _status() -> dict[str, Any] | None:
    """What `run.json` says, with `ready` and `lag` as they are now; None when nothing runs."""
    from mercato.local.child import lag, ready
    from mercato.local.running_platform import find_run

    run = find_run(settings().data_dir)
    if run is None:
        return None
    processes = run["processes"]

    def looked_at(process: dict[str, Any]) -> dict[str, Any]:
        answers = ready(process["port"], process["health_port"], _PROBE)
        waits = lag(process["health_port"], _PROBE) if process["kind"] == "worker" else None
        return process | {"ready": answers, "lag": waits}

    with ThreadPoolExecutor(len(processes)) as pool:
        run["processes"] = list(pool.map(looked_at, processes))
    run["ready"] &= all(process["ready"] for process in run["processes"])
    given = run.pop("engines")
    run["store"] = "mongodb" if "MONGODB_URI" in given else "sqlite"
    run["bus"] = "kafka" if "KAFKA_BOOTSTRAP_SERVERS" in given else "sqlite"
    return run


def _table(run: dict[str, Any]) -> None:
    from rich.console import Console
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
    Console(highlight=False).print(table)
