"""The steps of the demo as a table: what was done, what was expected, what came, and how long it took."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from chassis import clock
from demo.shop import Answer

PATIENCE = 30.0
"""Seconds in which what follows by events must have followed."""


class Differs(Exception):
    """A step came out otherwise than expected: those after it would stand on nothing."""


class Story:
    """A table that grows with each step while it is open."""

    def __init__(self, console: Console, title: str) -> None:
        self._table = Table("", "step", "expected", "got", title=title, title_justify="left")
        self._table.add_column("time", justify="right")
        self._console, self._live = console, Live(self._table, console=console, transient=True)

    def __enter__(self) -> "Story":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        self._console.print(self._table)

    def answers(self, step: str, answer: Answer, status: int, /, **fields: str) -> Any:
        """The answer's body, which must have this status and these fields. Raises Differs."""
        body = answer.body
        if answer.status == status:
            got = " ".join((str(answer.status), *(str(body[name]) for name in fields)))
        else:
            got = f"{answer.status} {body['title'] if isinstance(body, dict) and 'title' in body else ''}".strip()
        self.tells(step, " ".join((str(status), *fields.values())), got, answer.seconds)
        return body

    def becomes(self, step: str, expected: str, look: Callable[[], Any]) -> None:
        """Looking again and again, this is seen within PATIENCE. Raises Differs."""
        begun = clock.monotonic()
        while (seen := str(look())) != expected and clock.monotonic() - begun < PATIENCE:
            clock.sleep(0.05)
        self.tells(step, expected, seen, clock.monotonic() - begun)

    def tells(self, step: str, expected: str, got: str, seconds: float) -> None:
        """One step of the table. Raises Differs."""
        right = got == expected
        mark, color = ("✓", "green") if right else ("✗", "red")
        self._table.add_row(f"[{color}]{mark}[/]", step, expected, f"[{color}]{got}[/]", f"{seconds:.2f} s")
        self._live.refresh()
        if not right:
            raise Differs(f"{step}: expected {expected}, got {got}")
