"""Failing upstreams under the calls of the real client: `python -m tests.faults.upstreams [--seconds 30] [--json]`.

    2 s healthy ─► `seconds` of one fault ─► healthy again, until the circuit breaker has closed

Each fault has an upstream and callers of its own; all run at once. The callers start 20 calls a second, whatever
happens to earlier ones, each with a deadline of 1 s. Exit 1 if a limit is exceeded. The limits hold on a busy machine,
too; the narrow ones on time are a part of `make bench`.
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
from chassis.calls.client import MAX_ATTEMPTS, Client
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

FAULTS = {"drips": drip, "hangs": hang, "resets": reset, "responds 500": respond_with(ERROR_RESPONSE)}
DEADLINE_S = 1.0
CALLS_PER_S = 20.0
WARM_UP_S = 2.0
RECOVERY_TIMEOUT_S = 30.0
LIMITS = {"amplification": 1.1, "late_max_s": 5.0, "opened_s": 30.0, "closed_s": RECOVERY_TIMEOUT_S}
"""Attempts per call; time past the deadline; time until the breaker opens, and until it closes after the recovery."""
_CLOSED, _OPEN = 0, 2
_NEVER = 1e6  # JSON has no infinity


@dataclass
class Measurement:
    """What the callers of one failing upstream saw."""

    fault: str
    calls: int
    amplification: float
    late_p95_s: float
    late_max_s: float
    opened_s: float
    closed_s: float

    def exceeded(self) -> list[str]:
        """Return the names of the limits that are exceeded."""
        return [name for name, limit in LIMITS.items() if getattr(self, name) > limit]


class Callers:
    """Calls at a constant rate (open loop)."""

    def __init__(self, service: str, server: StubServer) -> None:
        self._command: Command = type("AskQuestion", (AskQuestion,), {"__module__": service})()
        self._client: Client = client(server.address)
        self._service, self._pace = service, threading.Event()
        self.calls, self.late_s = 0, [0.0]

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Call for so many seconds or until a condition holds; return the seconds until then, or _NEVER."""
        begun, reached = clock.monotonic(), _NEVER
        calls: list[Future[float | None]] = []
        with ThreadPoolExecutor(max_workers=64) as pool:
            while reached == _NEVER and clock.monotonic() - begun < seconds:
                calls.append(pool.submit(self._call))
                self._pace.wait(max(0.0, begun + len(calls) / CALLS_PER_S - clock.monotonic()))
                if until():
                    reached = clock.monotonic() - begun
        self.calls += len(calls)
        self.late_s += [late for call in calls if (late := call.result()) is not None]
        return reached

    def breaker_state(self) -> float | None:
        """Return the state of the circuit breaker as the metrics show it."""
        return REGISTRY.get_sample_value("mercato_circuit_breaker_state", {"server_address": self._service})

    def _call(self) -> float | None:
        """Return the seconds past the deadline; None for a call that was not attempted and returned in time."""
        begun, attempted = clock.monotonic(), True
        try:
            with deadline.within(DEADLINE_S):
                self._client.send(self._command, "key", MAX_ATTEMPTS)
        except TransientError as error:
            attempted = isinstance(error, OutcomeUnknown)
        late = max(0.0, clock.monotonic() - begun - DEADLINE_S)
        return late if attempted or late else None


def measure(fault: str, seconds: float) -> Measurement:
    """Call one upstream while it is healthy, fails for `seconds`, and recovers."""
    server = StubServer(respond_with(OK_RESPONSE))
    callers = Callers(fault, server)
    try:
        callers.run(WARM_UP_S)
        callers.calls, callers.late_s, before = 0, [0.0], server.request_count
        server.behavior = FAULTS[fault]
        opened = callers.run(seconds, lambda: callers.breaker_state() == _OPEN)
        callers.run(max(0.0, seconds - opened))
        calls, attempts = callers.calls, server.request_count - before
        late = statistics.quantiles(callers.late_s, n=100, method="inclusive")
        server.behavior = respond_with(OK_RESPONSE)
        closed = callers.run(RECOVERY_TIMEOUT_S, lambda: callers.breaker_state() == _CLOSED)
    finally:
        server.close()
    return Measurement(fault, calls, attempts / calls, late[94], max(callers.late_s), opened, closed)


def run(seconds: float) -> list[Measurement]:
    """Measure all faults at once."""
    with capture_logs(), ThreadPoolExecutor(len(FAULTS)) as pool:  # the breaker logs that it opens: expected here
        return list(pool.map(lambda fault: measure(fault, seconds), FAULTS))


@click.command()
@click.option("--seconds", default=30.0, help="How long each upstream fails.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(seconds: float, as_json: bool) -> None:
    """Check that callers of a failing upstream keep their deadline and that the circuit breaker opens and closes."""
    measured = run(seconds)
    if as_json:
        click.echo(json.dumps([{**asdict(each), "exceeded": each.exceeded()} for each in measured], indent=2))
    else:
        Console().print(_table(measured))
    sys.exit(any(each.exceeded() for each in measured))


def _table(measured: list[Measurement]) -> Table:
    table = Table("upstream", "calls", "attempts per call", "late, ms", "breaker opens, ms", "breaker closes, ms")
    for each in measured:
        cells = [
            f"[{'red' if name in each.exceeded() else 'default'}]{_text(name, getattr(each, name))}" for name in LIMITS
        ]
        table.add_row(each.fault, str(each.calls), *cells)
    table.add_section()
    table.add_row("limit", "", *(_text(name, limit) for name, limit in LIMITS.items()))
    return table


def _text(name: str, value: float) -> str:
    return f"{value:.2f}" if name == "amplification" else f"{value * 1000:.0f}"


if __name__ == "__main__":
    main()
