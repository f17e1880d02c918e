"""Callees that fail, under the calls of the real client: `python -m tests.faults.upstreams [--seconds 30] [--json]`.

    2 s well ─► `seconds` of one fault ─► well again, until the breaker has closed

Each fault has a callee and callers of its own, all at once. The callers begin 20 calls a second however the callee
does, each under a deadline of 1 s. Exit 1 if a bar is missed.
"""

import json
import statistics
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click
from prometheus_client import REGISTRY
from rich.console import Console
from rich.table import Table

from chassis import clock, deadline
from chassis.calls.client import ATTEMPTS, Client
from chassis.errors import OutcomeUnknown, TransientError
from chassis.messages import Command
from chassis.testing import capture_logs
from tests.faults.stub_server import (
    ERROR_RESPONSE,
    OK_RESPONSE,
    AskQuestion,
    StubServer,
    client,
    drip,
    hang,
    reset,
    respond_with,
)

FAULTS = {"drips": drip, "hangs": hang, "resets": reset, "answers 500": respond_with(ERROR_RESPONSE)}
DEADLINE = 1.0
RATE = 20.0
WELL = 2.0
BARS = {"amplification": 1.1, "late_p95": 0.05, "late_most": 0.25, "opened": 3.0, "closed": 15.0}
"""Attempts for each call; seconds past the deadline; seconds until the breaker opens, and closes after the healing."""
_CLOSED, _OPEN = 0, 2
_GIVE_UP = 30.0
_NEVER = 1e6  # JSON knows no infinity


@dataclass
class Found:
    """What one fault did to its callers."""

    fault: str
    calls: int
    amplification: float
    late_p95: float
    late_most: float
    opened: float
    closed: float

    def missed(self) -> list[str]:
        return [name for name, bar in BARS.items() if getattr(self, name) > bar]


class Callers:
    """Calls at a steady rate, whatever becomes of those before."""

    def __init__(self, service: str, server: StubServer) -> None:
        self._ask: Command = type("AskQuestion", (AskQuestion,), {"__module__": service})()
        self._client: Client = client(server.address)
        self._service, self._pace = service, threading.Event()
        self.calls, self.late = 0, [0.0]

    def call(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """For so many seconds, or until something is so; the seconds it took until then, or infinity."""
        begun, reached = clock.monotonic(), _NEVER
        calls: list[Future[float | None]] = []
        with ThreadPoolExecutor(max_workers=64) as pool:
            while reached == _NEVER and clock.monotonic() - begun < seconds:
                calls.append(pool.submit(self._once))
                self._pace.wait(max(0.0, begun + len(calls) / RATE - clock.monotonic()))
                if until():
                    reached = clock.monotonic() - begun
        self.calls += len(calls)
        self.late += [late for call in calls if (late := call.result()) is not None]
        return reached

    def breaker(self) -> float | None:
        """Its state, as the metrics show it."""
        return REGISTRY.get_sample_value("mercato_circuit_breaker_state", {"server_address": self._service})

    def _once(self) -> float | None:
        """Seconds past the deadline; None of a call that was held back in time, which proves nothing."""
        begun, sent = clock.monotonic(), True
        try:
            with deadline.within(DEADLINE):
                self._client.send(self._ask, "key", ATTEMPTS)
        except TransientError as error:
            sent = isinstance(error, OutcomeUnknown)
        late = max(0.0, clock.monotonic() - begun - DEADLINE)
        return late if sent or late else None


def broken(fault: str, seconds: float) -> Found:
    """One callee falls ill and recovers, while it is called."""
    server = StubServer(respond_with(OK_RESPONSE))
    callers = Callers(fault, server)
    try:
        callers.call(WELL)
        callers.calls, callers.late, asked = 0, [0.0], server.request_count
        server.says = FAULTS[fault]
        opened = callers.call(seconds, lambda: callers.breaker() == _OPEN)
        callers.call(max(0.0, seconds - opened))
        calls, attempts = callers.calls, server.request_count - asked
        late = statistics.quantiles(callers.late, n=100, method="inclusive")
        server.says = respond_with(OK_RESPONSE)
        closed = callers.call(_GIVE_UP, lambda: callers.breaker() == _CLOSED)
    finally:
        server.close()
    return Found(fault, calls, attempts / calls, late[94], max(callers.late), opened, closed)


def run(seconds: float) -> list[Found]:
    """All faults at once."""
    with ThreadPoolExecutor(len(FAULTS)) as pool:
        return list(pool.map(lambda fault: broken(fault, seconds), FAULTS))


@click.command()
@click.option("--seconds", default=30.0, help="how long each callee fails")
@click.option("--json", "as_json", is_flag=True, help="print data for a script")
def main(seconds: float, as_json: bool) -> None:
    """Measure whether callers keep their deadline, and the breaker its word; exit 1 if a bar is missed."""
    with capture_logs():  # a breaker says when it opens; here that is nobody's trouble
        found = run(seconds)
    if as_json:
        click.echo(json.dumps([{**asdict(each), "missed": each.missed()} for each in found], indent=2))
    else:
        Console().print(_table(found))
    sys.exit(any(each.missed() for each in found))


def _table(found: list[Found]) -> Table:
    table = Table("the callee", "calls", "attempts", "late p95", "late most", "opens", "closes", caption="ms")
    for each in found:
        cells = [
            f"[{'red' if name in each.missed() else 'default'}]{_shown(name, getattr(each, name))}" for name in BARS
        ]
        table.add_row(each.fault, str(each.calls), *cells)
    table.add_section()
    table.add_row("at most", "", *(_shown(name, bar) for name, bar in BARS.items()))
    return table


def _shown(name: str, value: float) -> str:
    return f"{value:.2f}" if name == "amplification" else f"{value * 1000:.0f}"


if __name__ == "__main__":
    main()
