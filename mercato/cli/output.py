"""What commands print: tables for people, lines of JSON for programs."""

from collections.abc import Iterable
from typing import Any

import click
import orjson

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
        from rich.console import Console
        from rich.table import Table

        table = Table(*listed[0], title=title)
        for row in listed:
            table.add_row(*(str(value) for value in row.values()))
        Console().print(table)
    return len(listed)


def print_json(value: Any) -> None:
    """Print one value as JSON that a person can read."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
