"""The steps of the demo as a table: the step, the expected and the actual result, and the time it took."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from chassis import clock
from demo.shop import Reply

EVENT_TIMEOUT_S = 30.0
"""Seconds within which the effect of an event must be visible."""


class UnexpectedResult(Exception):
    """A step had another result than expected. The demo ends, since later steps build on it."""


class Story:
    """A table that shows each step as soon as it is done."""

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

    def expect_reply(self, step: str, reply: Reply, status: int, /, **fields: str) -> Any:
        """Add a step whose reply must have this status and these fields; return the body. Raises UnexpectedResult."""
        body = reply.body
        if reply.status == status:
            got = " ".join((str(reply.status), *(str(body[name]) for name in fields)))
        else:
            got = f"{reply.status} {body['title'] if isinstance(body, dict) and 'title' in body else ''}".strip()
        self.add_step(step, " ".join((str(status), *fields.values())), got, reply.took_s)
        return body

    def expect_soon(self, step: str, expected: str, read: Callable[[], Any]) -> None:
        """Add a step in which `read` must return the expected value in time. Raises UnexpectedResult."""
        started_at = clock.monotonic()
        while (got := str(read())) != expected and clock.monotonic() - started_at < EVENT_TIMEOUT_S:
            clock.sleep(0.05)
        self.add_step(step, expected, got, clock.monotonic() - started_at)

    def add_step(self, step: str, expected: str, got: str, seconds: float) -> None:
        """Add a step. Raises UnexpectedResult if the result is not as expected."""
        is_expected = got == expected
        mark, color = ("✓", "green") if is_expected else ("✗", "red")
        self._table.add_row(f"[{color}]{mark}[/]", step, expected, f"[{color}]{got}[/]", f"{seconds:.2f} s")
        self._live.refresh()
        if not is_expected:
            raise UnexpectedResult(f"{step}: expected {expected}, got {got}")
