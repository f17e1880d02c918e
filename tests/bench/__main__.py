"""`make bench`: the performance of the platform, mostly as ratios within one run; prints a table, or JSON."""

import json
import sys
import time
from importlib import import_module
from typing import Any

import click
from rich.console import Console
from rich.table import Table

PARTS = (
    "http",
    "command",
    "checkout",
    "events",
    "latency",
    "relay",
    "hang",
    "provider",
    "upstreams",
    "overload",
    "contention",
    "carts",
    "enumeration",
    "abuse",
    "revocation",
    "footprint",
    "imports",
    "catalog",
)
LONG_ONLY = ("upstreams",)
"""Parts that have goals alone: the limits of `upstreams` are checked by `tests.faults.upstreams`."""


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(PARTS))
@click.option(
    "--short", is_flag=True, help="Fewer rounds, as in CI; a part that misses a bar is measured again in full."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(parts: tuple[str, ...], short: bool, as_json: bool) -> None:
    """Measure these parts (by default all); exit 1 if a bar is missed."""
    console = Console(stderr=True)
    rows: list[dict[str, Any]] = []
    for part in parts or [part for part in PARTS if not (short and part in LONG_ONLY)]:
        began = time.monotonic()
        with console.status(f"measuring {part} ..."):
            measure = import_module(f"tests.bench.{part}").run
            found = measure(short)
            missed = [row for row in _missed_bars(found, short) if not row.get("full")]
            if short and missed:  # a few rounds on a busy machine prove nothing
                console.print(f"{part}: again in full, for {missed[0]['name']}: {missed[0]['value']:.4g}")
                found = measure(False)
        console.print(f"{part}: {time.monotonic() - began:.0f} s")
        rows += [{"part": part, **row} for row in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        Console().print(_table(rows))
    missed = _missed_bars(rows, short)
    for row in missed:
        console.print(f"[red]missed[/] {row['part']}: {row['name']} is {row['value']:.4g}, the bar is {row['bar']}")
    sys.exit(bool(missed))


def _missed_bars(rows: list[dict[str, Any]], short: bool) -> list[dict[str, Any]]:
    """The rows that miss an enforced bar. Rows marked `goal`, times on a quiet machine, count in the full form only."""
    return [row for row in rows if not row.get("ok", True) and not (short and row.get("goal"))]


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table("part", "measured", "value", "", "bar", "")
    for row in rows:
        missed = "[yellow]goal missed" if row.get("goal") else "[red]missed"
        verdict = ("[green]met" if row["ok"] else missed) if row.get("bar") else ""
        value = row["value"]
        shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        table.add_row(row["part"], row["name"], shown, row.get("unit", ""), row.get("bar", ""), verdict)
    return table


if __name__ == "__main__":
    main()
