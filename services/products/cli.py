"""`mercato import`: imports a catalog from another shop."""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click
import orjson

from chassis import clock

if TYPE_CHECKING:
    from mercato.cli.remote import Administrator
    from services.products.importing import Report
    from services.products.shopify import Catalog, Item

_MEDIA_TYPES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_MAX_NAMED = 10
"""Products that a line of the report names."""


def _check_encoding(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        return TextIOWrapper(BytesIO(), value).encoding if value else ""  # takes encodings of text alone
    except (LookupError, ValueError):
        raise click.BadParameter(f"there is no encoding {value}; windows-1252 is one") from None


@click.group("import")
def imports() -> None:
    """Import data from another shop."""


@imports.command("products")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", help="URL of the shop; by default the one that runs here.")
@click.option(
    "--stock",
    type=click.Choice(["keep", "set"]),
    default="keep",
    show_default=True,
    help="Keep the stock of a product that exists, or set it to that of the file.",
)
@click.option("--unlimited", type=click.IntRange(0, 1_000_000_000), help="Stock of what never sells out there.")
@click.option("--encoding", default="", callback=_check_encoding, help="Encoding of the file, if it is not UTF-8.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_products(
    file: Path, url: str | None, stock: str, unlimited: int | None, encoding: str, as_json: bool
) -> None:
    """Import a product CSV that Shopify exported. A second import changes what differs.

    With --url, ADMIN_EMAIL and ADMIN_PASSWORD are the administrator's. The exit code is 1 if a row was refused; the
    other rows are imported.
    """
    from mercato.cli.remote import ShopError, administrator
    from services.products.importing import import_catalog

    catalog = _read(file, encoding, unlimited)
    request = {"stock": stock, "importId": clock.new_id()}
    with administrator(url) as shop, _progress_bar(len(catalog.rows)) as advance:
        report = import_catalog(catalog, shop.post, request, ShopError, advance)
        pictures = _upload_pictures(shop, report.imported, file.parent)
    if as_json:
        click.echo(orjson.dumps(report.data()))
    else:
        _print_report(report)
        for line in pictures:
            click.echo(line)
    sys.exit(0 if report.is_complete else 1)


def _read(file: Path, encoding: str, unlimited: int | None) -> "Catalog":
    from services.products import shopify, spreadsheet

    try:
        return shopify.parse(spreadsheet.decode(file.read_bytes(), encoding), unlimited)
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from None


def _upload_pictures(shop: "Administrator", items: Iterable["Item"], folder: Path) -> list[str]:
    """Upload the pictures that are files beside the catalog; a repetition changes nothing. Return a report."""
    from mercato.cli.remote import File, ShopError

    uploaded, notes = 0, []
    wanted: dict[tuple[str, str], tuple[Item, str]] = {}
    for item in items:
        for name, alt in item.parent_files.items():
            wanted.setdefault((item.body["parentId"], name), (item, alt))
        for name, alt in item.files.items():
            wanted[item.body["id"], name] = item, alt
    for (id, name), (item, alt) in wanted.items():
        media_type = _MEDIA_TYPES[name.rpartition(".")[2].lower()]
        path = f"/api/products/{id}/pictures?{urlencode({'alt': alt})}"
        try:
            shop.post(path, File((folder / name).read_bytes(), media_type))
            uploaded += 1
        except (OSError, ShopError) as error:
            notes.append(f"picture not uploaded: line {item.line}: {name}: {error}")
    return [*([f"pictures uploaded: {uploaded}"] if uploaded else []), *notes]


@contextmanager
def _progress_bar(rows: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; yield the function that advances it by a number of rows."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("Importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("rows", total=rows)
        yield lambda done: progress.advance(task, done)


def _print_report(report: "Report") -> None:
    for line, handle, reason in report.refused:
        click.echo(f"line {line}: {handle or '(no handle)'}: {reason}", err=True)
    counts = ", ".join(f"{report.outcomes[name]} {name}" for name in ("created", "updated", "unchanged"))
    click.echo(f"{report.rows} rows: {counts}, {len(report.refused)} refused, {len(report.skipped)} skipped")
    _print_groups("stored unpublished", ((item.unpublished, item) for item in report.unpublished))
    for reason, count in Counter(row.reason for row in report.skipped).items():
        click.echo(f"skipped: {reason}: {count}")
    for note in report.catalog.notes:
        click.echo(f"note: {note}")
    _print_groups("note", ((note, item) for item in report.imported for note in item.notes))
    if any("pictures" in item.body for item in report.imported):
        click.echo(f"pictures: {report.catalog.pictures}, downloaded by the shop if PICTURE_HOSTS has their hosts")
    if report.catalog.control_characters:
        click.echo(f"control characters left out: {report.catalog.control_characters}")
    if report.stopped:
        click.echo(f"mercato: stopped at {report.stopped}; import the file again to continue", err=True)


def _print_groups(title: str, reasons: "Iterable[tuple[str, Item]]") -> None:
    """Print a line for each reason, with its number of variants and the first line of each handle."""
    counts = Counter[str]()
    lines_by_handle = defaultdict[str, dict[str, int]](dict)
    for reason, item in reasons:
        counts[reason] += 1
        lines_by_handle[reason].setdefault(item.handle, item.line)
    for reason, count in counts.items():
        named = [f"{handle} (line {line})" for handle, line in lines_by_handle[reason].items()]
        more = f" and {len(named) - _MAX_NAMED} more; --json names all" if len(named) > _MAX_NAMED else ""
        click.echo(f"{title}: {reason}: {count}: {', '.join(named[:_MAX_NAMED])}{more}")


commands = {"import": imports}
