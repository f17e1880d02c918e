"""`mercato migrate`: rewrite stored documents of earlier versions. The workers do it, too."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import orjson

from chassis.store import Collection, Doc, StoreUnavailable, migration
from mercato.cli.output import as_json
from mercato.cli.services import attach_store, installed_services, load_service


@click.command()
@click.argument("names", metavar="[SERVICE]...", nargs=-1)
@as_json
def migrate(names: tuple[str, ...], as_json: bool) -> None:
    """Rewrite stored documents of earlier versions.

    The platform may run meanwhile. Continues a pass that was interrupted, then reads all documents of the installed
    services, or of the named SERVICEs. The workers do the same in the background; run this command once no process of
    the release before is left. The exit code is 1 if a document could not be rewritten.
    """
    failed = 0
    for name in names or installed_services():
        service = load_service(name)
        if service.versioned:
            attach_store(service)
        elif names and not as_json:
            click.echo(f"{name}: nothing to migrate")
        for collection in service.versioned:
            try:
                record = _migrate(collection, as_json)
            except StoreUnavailable as error:
                message = f"the store of {name} is unavailable: {error}; run the command again to continue"
                raise click.ClickException(message) from None
            failed += record["failed"]
            row = {"service": name, "collection": collection.name}
            row |= {field: record[field] for field in ("version", "read", "rewritten", "failed")}
            click.echo(orjson.dumps(row) if as_json else _sentence(row))
    if failed:
        sys.exit(1)


def _migrate(collection: Collection, as_json: bool) -> Doc:
    """Finish the pass that was interrupted, if there is one; then run one from the beginning."""
    mine = migration.Migration(collection)
    if mine.record()["version"] > collection.versions.current:
        raise click.ClickException(f"a later release migrates {collection.name}: run its command mercato migrate")
    total, rewritten = collection.count(), 0
    while True:
        is_new = mine.hold()
        with _progress(collection.name, total, as_json) as show:
            while mine.step():
                show(mine.record()["read"])
        record = mine.record()
        if not record["finishedAt"]:
            raise click.ClickException(f"another process took over the migration of {collection.name}; run this again")
        rewritten += record["rewritten"]
        if is_new:
            return {**record, "rewritten": rewritten}


def _sentence(row: Doc) -> str:
    counts = f"{row['read']} documents read, {row['rewritten']} rewritten, {row['failed']} failed"
    hint = "; their ids are on standard error" if row["failed"] else ""
    return f"{row['service']} {row['collection']}: {counts}{hint}"


@contextmanager
def _progress(name: str, total: int, as_json: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on standard error if it is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda read: bar.update(task, completed=read)
