"""What the launcher tells a person: a live list while it starts on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text


class Screen:
    """`reveals`: whether the welcome, which holds the administrator's password, is shown."""

    def __init__(self, reveals: bool = True) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._reveals = reveals
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    @contextmanager
    def starting(self, titles: set[str]) -> Iterator[None]:
        """While the processes of these titles start."""
        if not self._console.is_terminal:
            yield
            return
        columns = (SpinnerColumn(finished_text="[green]✓[/]"), TextColumn("{task.description}"))
        with Progress(*columns, console=self._console) as self._progress:
            self._tasks = {title: self._progress.add_task(title, total=1) for title in sorted(titles)}
            yield
        self._progress = None

    def ready(self, title: str, seconds: float) -> None:
        """This process became ready that long after the start."""
        line = f"{title} is ready ({seconds:.1f} s)"
        if self._progress is None:
            self.say(line)
        else:
            self._progress.update(self._tasks[title], description=line, completed=1)

    def say(self, line: str) -> None:
        """One line."""
        self._console.print(Text(line))

    def welcome(self, url: str, administrator: dict[str, str], took: str) -> None:
        """Where it is, whom to sign in as, what to try next. `took` is empty when not everything is ready."""
        if not self._reveals:
            return
        mercato = _invocation()
        self._console.print(
            f"\n[bold]Mercato is {f'ready after {took}' if took else 'partly there'}:[/] [bold cyan]{url}[/]\n\n"
            f"  administrator   {administrator['email']}\n"
            f"  password        {administrator['password']}\n\n"
            "Try next:\n"
            f"  curl {url}/api/products\n"
            f"  {mercato} demo      a customer, an order, and what becomes of it\n"
            f"  {mercato} status    every process, its port and whether it is ready\n"
            f"  {mercato} down      end it (or Ctrl-C here); the data stay\n"
        )


def _invocation() -> str:
    """How a person runs the `mercato` command from here."""
    script = Path(sys.argv[0])
    if script.name != "mercato":
        return "python -m mercato.cli"
    return str(script.relative_to(Path.cwd())) if script.is_relative_to(Path.cwd()) else str(script)
