"""What commands print: tables for people, lines of JSON for programs. Color and folded lines only on a terminal."""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click
import orjson

from chassis import clock

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_MAX_WIDTH = 10_000  # characters
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SUFFIXES = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}

Row = dict[str, Any]
Columns = Mapping[str, Callable[[Row], Any]]
"""What a table shows of a row: the title of each column, and its value."""

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one line per row.")


class Duration(click.ParamType[float]):
    """A time such as 90s, 5m, 2h or 1d; a number alone is seconds. The value is in seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        number = value.rstrip("dhimns")
        unit = value[len(number) :] or "s"
        if not (number.isascii() and number.isdecimal()) or len(number) > 9 or unit not in _SUFFIXES:
            self.fail(f"{value!r} is not a time such as 90s, 5m, 2h or 1d", param, ctx)
        return float(int(number) * _SUFFIXES[unit])


def print_rows(rows: Iterable[Row], as_json: bool, title: str, columns: Columns | None = None) -> int:
    """Print the rows as a table of these columns, or all of each as a line of JSON. Returns their number."""
    listed = list(rows)
    if as_json:
        for row in listed:
            click.echo(orjson.dumps(row))
    elif not listed:
        click.echo(f"{title}: none")
    else:
        shown = columns or {name: lambda row, name=name: row[name] for name in listed[0]}  # type: ignore[misc]
        table = new_table(*shown, title=title)
        for row in listed:
            table.add_row(*(cell(value(row)) for value in shown.values()))
        print_table(table)
    return len(listed)


def new_table(*columns: str, title: str = "") -> "Table":
    """Return a table with these columns."""
    from rich import box
    from rich.table import Table

    return Table(
        *columns, title=title or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
    )


def cell(value: Any, style: str = "") -> "Text":
    """Return a value as a cell of a table. Data can neither style it nor control the terminal."""
    from rich.text import Text

    if isinstance(value, Text):
        return value
    return Text("".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(value)), style)


def print_table(table: "Table") -> None:
    """Print a table. On a terminal its lines are folded between words, elsewhere they are as long as they are.

    No word is cut, so that an id can be copied whatever the width of the terminal is.
    """
    from rich.console import Console

    console = Console(highlight=False)
    for column in table.columns:
        words = [str(each).split() or [""] for each in (column.header, *column.cells)]
        column.no_wrap = all(len(each) == 1 for each in words)
        column.min_width = max(len(word) for each in words for word in each)
    width = console.measure(table, options=console.options.update(max_width=_MAX_WIDTH))
    console.width = max(console.width, width.minimum if console.is_terminal else width.maximum)
    console.print(table, crop=False)


def print_json(value: Any) -> None:
    """Print one value as JSON that a person can read, too."""
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    if not is_terminal():
        click.echo(text)
        return
    from rich.console import Console
    from rich.highlighter import JSONHighlighter

    Console().print(JSONHighlighter()(text), soft_wrap=True)


def is_terminal() -> bool:
    """Return whether a person reads standard output."""
    return sys.stdout.isatty()


def duration(seconds: float) -> str:
    """Return a duration in its largest unit: "12 min"."""
    unit, length = next(each for each in _UNITS if seconds >= each[1] or each[1] == 1)
    return f"{int(max(0.0, seconds) / length)} {unit}"


def age(timestamp: str) -> str:
    """Return how long ago a time was: "12 min"."""
    return duration(clock.seconds_since(timestamp)) if timestamp else ""
