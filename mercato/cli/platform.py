"""The commands that run the platform on this machine."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from runpy import run_module

import click

from chassis import clock
from mercato.catalog import catalog
from mercato.cli import run_command
from mercato.settings import check_all, settings

_DETACH_TIMEOUT_S = 110.0  # the launcher itself stops waiting after 60
_POLL_S = 0.05


@click.command()
@click.option("--detach", is_flag=True, help="Return when everything is ready, and leave it running.")
@click.option("--reload", is_flag=True, help="Restart the processes whose code changes.")
@click.option(
    "--catalog",
    "catalog_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Fill a new shop with the products of this file, once everything is ready.",
)
@click.option("--background", is_flag=True, hidden=True)
def up(detach: bool, reload: bool, catalog_file: Path | None, background: bool) -> None:
    """Start the platform on this machine.

    Settings: PORT (8080), DATA_DIR (.mercato), REPLICAS, ADMIN_EMAIL, ADMIN_PASSWORD, RATE_LIMITS.
    """
    from chassis.bus.engines import open_bus
    from mercato.local.folder import open_folder
    from mercato.local.launcher import Launcher
    from mercato.local.screen import Screen

    check_all()
    if detach:
        catalog = ["--catalog", str(catalog_file)] if catalog_file else []
        _start_detached([*catalog, *(["--reload"] if reload else [])])
    else:
        open_folder(settings().data_dir)
        open_bus(settings()).close()  # checks the settings
        _check_stores()
        Launcher(settings(), Screen(shows_welcome=not background), run_command, reload, catalog_file).run()


def _check_stores() -> None:
    """Raise SystemExit with one line if a store is not of this platform, before each process finds that."""
    from chassis.store import StoreUnavailable
    from chassis.store.engines import open_store
    from chassis.store.format import check_format

    for name in catalog():
        store = open_store(settings(), name)
        try:
            check_format(store, settings().prefix, settings().installation)
        except StoreUnavailable:  # the processes wait for it
            return
        finally:
            store.close()


def _start_detached(options: list[str]) -> None:
    from mercato.local.folder import open_folder, shown
    from mercato.local.screen import Screen

    folder, started_at = open_folder(settings().data_dir), clock.monotonic()
    log = folder.log_path("up")
    folder.rotate_log("up")
    with log.open("ab") as output:
        log_start = output.tell()
        process = subprocess.Popen(  # noqa: S603  our own interpreter and command
            [sys.executable, "-m", "mercato.cli", "up", "--background", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while clock.monotonic() - started_at < _DETACH_TIMEOUT_S:
        if process.poll() is not None:
            printed = log.read_bytes()[log_start:].decode(errors="replace").strip()
            raise SystemExit(printed or "mercato: the launcher ended at once")
        run = folder.read("run.json") or {}
        if run.get("pid") == process.pid and run["ready"]:
            took = f"{clock.monotonic() - started_at:.1f} s"
            Screen().print_welcome(run["url"], folder.read("admin.json"), took)
            return
        clock.sleep(_POLL_S)
    raise SystemExit(f"mercato: not everything is ready after {_DETACH_TIMEOUT_S:.0f} s: see {shown(log)}")


@click.command()
def down() -> None:
    """Stop the platform; its data is kept."""
    from mercato.local.folder import open_folder, shown
    from mercato.local.running_platform import end_orphans, is_running

    folder = open_folder(settings().data_dir)
    if folder.lock():
        end_orphans(folder)
        click.echo(f"mercato: nothing runs in {shown(folder.path)}")
        return
    run = folder.read("run.json")
    if not run or not is_running(run):
        raise SystemExit("mercato: the platform is just starting or stopping: try again")
    os.kill(run["pid"], signal.SIGTERM)
    deadline = clock.monotonic() + settings().shutdown + 10
    while is_running(run) or not folder.lock():
        if clock.monotonic() > deadline:
            os.kill(run["pid"], signal.SIGKILL)
        clock.sleep(_POLL_S)
    end_orphans(folder)
    click.echo(f"mercato: {run['url']} has stopped")


@click.command()
def demo() -> None:
    """Place orders and follow them to their end.

    Exit code 1 if a step has another result than expected.
    """
    if find_spec("demo") is None:
        raise click.ClickException("the demo is part of the source tree, and not of what is installed here")
    run_module("demo", run_name="__main__")
