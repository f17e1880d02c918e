"""What the launcher shows: a live list of the processes that start, on a terminal; plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from mercato.local.folder import shown


class Screen:
    """`shows_welcome`: whether to print the welcome, which holds the administrator's password."""

    def __init__(self, shows_welcome: bool = True) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._shows_welcome = shows_welcome
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def starting(self, titles: set[str]) -> Iterator[None]:
        """Show the progress of the processes with these titles inside the block."""
        if not self._console.is_terminal:
            yield
            return
        columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console) as self._progress:
            self._tasks = {title: self._progress.add_task(title, total=1) for title in sorted(titles)}
            yield
        self._progress = None

    def show_ready(self, title: str, after_s: float) -> None:
        """Show that this process became ready so many seconds after the start."""
        line = f"{title} is ready ({after_s:.1f} s)"
        if self._progress is None:
            self.print_line(line)
        else:
            self._progress.update(self._tasks[title], description=line, completed=1)

    def print_line(self, line: str) -> None:
        """Print one line."""
        self._console.print(Text(line))

    def print_welcome(self, url: str, administrator: dict[str, str] | None, took: str) -> None:
        """Print the address, the administrator and what to try next. `took` is empty if not everything is ready.

        `administrator` is the address and password of the first administrator, or None if they are not known here.
        """
        if not self._shows_welcome:
            return
        mercato = _invocation()
        first = administrator or {"email": f"see {mercato} user list", "password": "the one that it has"}
        self._console.print(
            f"\n[bold]Mercato is {f'ready after {took}' if took else 'partly ready'}:[/] [bold cyan]{url}[/]\n\n"
            f"  administrator   {first['email']}\n"
            f"  password        {first['password']}\n\n"
            "Try next:\n"
            f"  {url}      the shop, in a browser\n"
            f"  {mercato} demo      place orders and watch what happens to them\n"
            f"  {mercato} status    list every process, its port and whether it is ready\n"
            f"  {mercato} down      stop the platform (or Ctrl-C here); the data is kept\n"
        )


def _invocation() -> str:
    """Return how to run the `mercato` command from here."""
    script = Path(sys.argv[0])
    return shown(script) if script.name == "mercato" else "python -m mercato.cli"
