"""What commands print: tables for people, lines of JSON for programs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
import orjson

if TYPE_CHECKING:
    from rich.table import Table

_MAX_WIDTH = 10_000  # characters

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one line per row.")


def print_rows(rows: Iterable[dict[str, Any]], as_json: bool, title: str) -> int:
    """Print the rows as a table, or each as a line of JSON. Returns their number."""
    listed = list(rows)
    if as_json:
        for row in listed:
            click.echo(orjson.dumps(row))
    elif not listed:
        click.echo(f"{title}: none")
    else:
        from rich.table import Table

        table = Table(*listed[0], title=title)
        for row in listed:
            table.add_row(*(str(value) for value in row.values()))
        print_table(table)
    return len(listed)


def print_table(table: "Table") -> None:
    """Print a table at its full width, so that no id is cut, whatever the width of the terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    console.width = max(
        console.width, console.measure(table, options=console.options.update(max_width=_MAX_WIDTH)).maximum
    )
    console.print(table, crop=False)


def print_json(value: Any) -> None:
    """Print one value as JSON that a person can read."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
