"""`mercato import`: imports a catalog from another shop."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from mercato.cli.services import attach_store, call_as
from services.products.settings import settings

if TYPE_CHECKING:
    from services.products.importing import Report
    from services.products.shopify import Item, Refused


@click.group("import")
def imports() -> None:
    """Import data from another shop."""


@imports.command("products")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_products(file: Path, as_json: bool) -> None:
    """Import a product CSV that Shopify exported. A second import changes what differs, but never a stock.

    The exit code is 1 if a row was refused; the other rows are imported.
    """
    from services.products.importing import import_rows
    from services.products.service import service

    rows = _read(file)
    call_as(service)
    attach_store(service)
    report = import_rows(_with_progress(rows))
    if as_json:
        click.echo(orjson.dumps(report.data()))
    else:
        _print_report(report)
    sys.exit(0 if report.is_complete else 1)


def _read(file: Path) -> "list[Item | Refused]":
    from services.products import shopify

    try:
        return list(shopify.parse(file.read_bytes().decode("utf-8-sig"), settings().currency))
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None


def _with_progress(rows: "list[Item | Refused]") -> "Iterable[Item | Refused]":
    """Yield the rows, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(rows, "Importing", console=console, transient=True) if console.is_terminal else rows


def _print_report(report: "Report") -> None:
    for line, handle, reason in report.refused:
        click.echo(f"line {line}: {handle or '(no handle)'}: {reason}", err=True)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items())
    click.echo(f"{counts}, {len(report.refused)} refused")
    if report.stopped:
        click.echo(f"mercato: stopped at {report.stopped}; import the file again to continue", err=True)


commands = {"import": imports}
