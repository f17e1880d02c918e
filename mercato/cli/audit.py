"""`mercato audit`: whether money, stock and orders agree, as each service judges its own books."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click
import orjson

from chassis.audit import Audit, Finding, Look
from chassis.errors import ServiceError
from chassis.service import Service
from mercato.cli.operate import as_json, bound, here, join, load

AGREE, DISAGREE, UNSEEN = 0, 1, 2
Row = dict[str, Any]


@click.command()
@click.argument("names", metavar="[SERVICE]...", nargs=-1)
@as_json
def audit(names: tuple[str, ...], as_json: bool) -> None:
    """Tell whether money, stock and orders agree, while the platform sells.

    It looks at all that the services here audit, or the SERVICEs that are named. The exit code is 0 if all agree, 1 if
    something does not, 2 if nothing was found and something could not be looked at.
    """
    report = _Report(as_json)
    try:
        services = [service for service in map(load, names or here()) if names or service.audited]
        for service in services:
            if not service.audited:
                raise click.ClickException(f"{service.name} audits nothing")
            bound(service)
        if not services:
            raise click.ClickException("no service whose code is here audits anything")
        for service in services:
            join(service)
            for each in service.audited:
                report.look(service, each)
    except click.ClickException as error:
        report.cannot(error.format_message())
    except SystemExit as error:  # a setting is missing, or nothing runs here
        report.cannot(str(error.code).removeprefix("mercato: "))
    report.end()
    sys.exit(DISAGREE if report.findings else UNSEEN if report.unseen else AGREE)


class _Report:
    """What was looked at and found: told line by line, findings on standard output."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self.looked: dict[str, int] = {}
        self.findings = self.unseen = 0

    def look(self, service: Service, audit: Audit) -> None:
        """Look over one audit, whatever becomes of it."""
        look = Look(audit)
        where = {"service": service.name, "of": audit.noun}
        try:
            with _watched(look, self._json):
                for doubt in look.doubts():
                    if isinstance(doubt, Finding):
                        self._found(doubt, where)
                    else:
                        self.cannot(doubt.why, {**where, "id": doubt.id})
        except ServiceError as error:
            self.cannot(str(error), where)
        except Exception as error:  # what is so damaged that it cannot be read must not pass for sound
            self.cannot(f"{type(error).__name__} in judging them", where)
        self.looked[f"{audit.noun}s"] = look.seen

    def cannot(self, why: str, where: Row | None = None) -> None:
        """Something could not be looked at."""
        self.unseen += 1
        row = where or {}
        if self._json:
            _say(orjson.dumps({**row, "unseen": why}).decode())
        else:
            what = row["of"] + (f" {row['id']}" if "id" in row else "s") + ": " if row else ""
            _say(f"could not look: {what}{why}", sys.stderr)

    def end(self) -> None:
        """Sum up."""
        if self._json:
            totals = {"lookedAt": self.looked, "findings": self.findings, "unseen": self.unseen}
            _say(orjson.dumps(totals).decode())
            return
        looked = ", ".join(f"{count} {what}" for what, count in self.looked.items()) or "nothing"
        _say(f"looked at {looked}: {self.findings} findings, {self.unseen} could not be looked at")

    def _found(self, finding: Finding, where: Row) -> None:
        self.findings += 1
        if self._json:
            row = {**where, "id": finding.id, "invariant": finding.invariant, "detail": finding.detail}
            _say(orjson.dumps(row).decode())
        else:
            _say(f"{finding.invariant} {where['of']} {finding.id}: {finding.detail}")


def _say(line: str, where: TextIO | None = None) -> None:
    """Print a line, above the bar where there is one: it stands in the way of these streams, and click goes past it."""
    stream = where or sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


@contextmanager
def _watched(look: Look, as_json: bool) -> Iterator[None]:
    """Show how far it is where a person looks on; what goes to a file goes there all the same."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    nobody = as_json or not console.is_terminal
    with Progress(
        *columns, console=console, transient=True, disable=nobody, redirect_stdout=sys.stdout.isatty()
    ) as bar:
        task = bar.add_task(f"{look.audit.noun}s", total=None)
        look.watch = lambda: bar.update(task, description=f"{look.seen} {look.audit.noun}s")
        yield
