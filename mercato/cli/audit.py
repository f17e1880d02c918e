"""`mercato audit`: do money, stock and orders agree? Each service checks its own invariants."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click
import orjson

from chassis.audit import Audit, AuditRun, Finding
from chassis.errors import ServiceError
from chassis.service import Service
from mercato.cli.output import as_json
from mercato.cli.services import attach_store, call_as, installed_services, load_service

AGREE, DISAGREE, NOT_CHECKED = 0, 1, 2
Row = dict[str, Any]


@click.command()
@click.argument("names", metavar="[SERVICE]...", nargs=-1)
@as_json
def audit(names: tuple[str, ...], as_json: bool) -> None:
    """Check whether money, stock and orders agree.

    Checks everything that the installed services audit, or the named SERVICEs, while the platform runs. The exit code
    is 0 if all agree, 1 if something does not, 2 if nothing was found and something could not be checked.
    """
    report = Report(as_json)
    with report.concluded():
        services = [service for service in map(load_service, names or installed_services()) if names or service.audited]
        for service in services:
            if not service.audited:
                raise click.ClickException(f"{service.name} audits nothing")
            attach_store(service)
        if not services:
            raise click.ClickException("no service that is installed here audits anything")
        for service in services:
            call_as(service)
            for each in service.audited:
                report.check(service, each)


class Report:
    """What was checked and found, printed line by line: findings on standard output, the rest on standard error."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self.checked: dict[str, int] = {}
        self.findings = self.unchecked = 0

    @contextmanager
    def concluded(self) -> Iterator[None]:
        """At the end, print the totals and exit with the code that they mean."""
        try:
            yield
        except click.ClickException as error:
            self.add_unchecked(error.format_message())
        except SystemExit as error:  # a setting is missing, or nothing runs here
            self.add_unchecked(str(error.code).removeprefix("mercato: "))
        self.print_summary()
        sys.exit(DISAGREE if self.findings else NOT_CHECKED if self.unchecked else AGREE)

    def check(self, service: Service, audit: Audit) -> None:
        """Run one audit to its end, whatever it raises."""
        run = AuditRun(audit)
        row = {"service": service.name, "of": audit.noun}
        try:
            with _progress(run, self._json):
                for suspect in run.results():
                    if isinstance(suspect, Finding):
                        self._add_finding(suspect, row)
                    else:
                        self.add_unchecked(suspect.reason, {**row, "id": suspect.id})
        except ServiceError as error:
            self.add_unchecked(str(error), row)
        except Exception as error:  # damaged data that cannot be read must not pass as correct
            self.add_unchecked(f"{type(error).__name__} while checking them", row)
        self.checked[f"{audit.noun}s"] = run.checked

    def add_unchecked(self, why: str, row: Row | None = None) -> None:
        """Print what could not be checked."""
        self.unchecked += 1
        row = row or {}
        if self._json:
            _print(orjson.dumps({**row, "notChecked": why}).decode())
        else:
            what = row["of"] + (f" {row['id']}" if "id" in row else "s") + ": " if row else ""
            _print(f"could not check: {what}{why}", sys.stderr)

    def print_summary(self) -> None:
        """Print the totals."""
        if self._json:
            totals = {"checked": self.checked, "findings": self.findings, "notChecked": self.unchecked}
            _print(orjson.dumps(totals).decode())
            return
        checked = ", ".join(f"{count} {what}" for what, count in self.checked.items()) or "nothing"
        _print(f"checked {checked}: {self.findings} findings, {self.unchecked} could not be checked")

    def _add_finding(self, finding: Finding, row: Row) -> None:
        self.findings += 1
        if self._json:
            found = {**row, "id": finding.id, "invariant": finding.invariant, "detail": finding.detail}
            _print(orjson.dumps(found).decode())
        else:
            _print(f"{finding.invariant} {row['of']} {finding.id}: {finding.detail}")


def _print(line: str, stream: TextIO | None = None) -> None:
    """Print a line above the progress bar, which replaces `sys.stdout` and `sys.stderr`; click would bypass it."""
    stream = stream or sys.stdout
    stream.write(f"{line}\n")
    stream.flush()


@contextmanager
def _progress(run: AuditRun, as_json: bool) -> Iterator[None]:
    """Show a progress bar on standard error if it is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    hidden = as_json or not console.is_terminal
    with Progress(
        *columns, console=console, transient=True, disable=hidden, redirect_stdout=sys.stdout.isatty()
    ) as bar:
        task = bar.add_task(f"{run.audit.noun}s", total=None)
        run.on_progress = lambda: bar.update(task, description=f"{run.checked} {run.audit.noun}s")
        yield
