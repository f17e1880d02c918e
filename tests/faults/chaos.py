"""Chaos test: kills, pauses, starves and slows down every process in turn while clients shop, then checks the data.

    python -m tests.faults.chaos [--long | --soak] [--seed N] [--engines] [--json]

The seed determines the faults, their order, and what clients buy. Without --long, each kind of fault hits half of its
targets, which the seed draws. --soak runs five full rounds, followed by a steady load under which no process may grow
(`tests.faults.soak`).
"""

import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests import dump, engines
from tests.faults import checker, history, soak
from tests.faults.fault_injector import FaultInjector
from tests.faults.load import Load, Shopper
from tests.faults.scenario import SETTLE_TIMEOUT_S, Scenario
from tests.faults.schedule import LEASE_S, schedule
from tests.system.platform import Shop, eventually
from tests.system.running import ROOT

ORDERS_PER_ROUND = 60
SOAK_ROUNDS = 5
FULL_ROUND_S = 150.0
"""Duration of a full round; the clients spread their orders over it."""
SHORT_SHARE = 0.5
"""Share of the targets that each kind of fault hits in the short form."""
INJECT = os.pathsep.join((str(Path(__file__).parent / "inject"), str(ROOT)))
SETTINGS: dict[str, Any] = {
    "PYTHONPATH": INJECT,
    "RATE_LIMITS": "off",
    "LEASE": f"{LEASE_S:g}",
    "RESERVATION": "8",
    "ACCESS_TOKEN": "86400",
}
Row = dict[str, Any]


@dataclass
class ChaosRun:
    """One run: its parameters, the faults so far, and the result."""

    seed: int
    rounds: int
    share: float
    output: "Output"
    faults: list[Row] = field(default_factory=list)
    result: Row = field(default_factory=dict)

    def run(self, scenario: Scenario) -> None:
        """Inject the scheduled faults while clients shop, then check.

        Raises:
            AssertionError: a fault did not heal, or an invariant is violated.
        """
        faults = schedule(self.seed, self.rounds, scenario.shop.engines is not None, self.share)
        seconds = self.rounds * self.share * FULL_ROUND_S
        load = Load(scenario, self.seed, self.rounds * ORDERS_PER_ROUND, seconds)
        injector = FaultInjector(scenario, Shopper(scenario, Random(f"{self.seed}/damage"), load.products))
        began = time.monotonic()
        with load.running(), self.output.progress(len(faults)) as advance:
            for fault in faults:
                time.sleep(fault.pause_before_s)  # part of the schedule
                at = time.monotonic()
                self.faults.append({"fault": str(fault), "at": round(at - began, 1), "took": None})
                injector.inject(fault)
                self.faults[-1]["took"] = round(time.monotonic() - at, 1)
                advance(self.faults[-1])
        self._check(scenario, load)

    def _check(self, scenario: Scenario, load: Load) -> None:
        """Check that every accepted order is final in time, and that all invariants hold."""
        began = time.monotonic()
        accepted = history.accepted_orders(scenario.history)
        eventually(lambda: not unfinished_orders(scenario, accepted), SETTLE_TIMEOUT_S)
        took = round(time.monotonic() - began, 1)
        self.output.print_line(f"{len(accepted)} accepted orders were final {took} s after the last response")
        for shopper in load.shoppers:
            shopper.read_all_orders()
        scenario.assert_consistent()
        audit = scenario.shop.mercato("audit", "--json")
        assert audit.returncode == 0, f"mercato audit disagrees with the checker:\n{audit.stdout}{audit.stderr}"
        statuses = Counter(
            checker.fold(commits)["status"]
            for commits in checker.event_streams(dump.read(scenario.shop.place)).values()
        )
        responses = Counter(str(each.get("status", "none")) for each in scenario.history if each["op"] == "order")
        self.result |= {
            "orders": load.placed,
            "accepted": len(accepted),
            "final_after_s": took,
            "audited": json.loads(audit.stdout.splitlines()[-1])["checked"],
            "statuses": dict(sorted(statuses.items())),
            "responses": dict(sorted(responses.items())),
        }


def unfinished_orders(scenario: Scenario, orders: set[str]) -> set[str]:
    """Return those of these orders that are not final according to their event streams."""
    streams = checker.event_streams(dump.read_store(scenario.shop.place, "orders", "streams"))
    return {id for id in orders if id not in streams or checker.fold(streams[id])["status"] not in checker.FINAL}


class Output:
    """Progress and tables for people: a bar on a terminal, otherwise a line per fault; on standard error if `quiet`."""

    def __init__(self, quiet: bool) -> None:
        self._console = Console(stderr=quiet, soft_wrap=True, highlight=False)

    def print_line(self, line: str) -> None:
        self._console.print(line)

    @contextmanager
    def progress(self, steps: int) -> Iterator[Any]:
        """Yield a function that shows one finished fault."""
        with Progress(console=self._console, disable=not self._console.is_terminal) as bar:
            task = bar.add_task("faults", total=steps)

            def advance(row: Row) -> None:
                bar.advance(task)
                bar.console.print(f"{row['at']:7.1f} s  {row['fault']}, healed after {row['took']} s")

            yield advance

    def table(self, title: str, rows: list[Row]) -> None:
        table = Table(*rows[0], title=title)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        self._console.print(table)


@click.command()
@click.option("--long", "is_long", is_flag=True, help="Hit every target of each fault.")
@click.option("--soak", "is_soak", is_flag=True, help="Five full rounds, 300 orders, then 30 minutes of steady load.")
@click.option("--seed", type=int, help="Repeat the faults of an earlier run.")
@click.option("--rounds", type=int, help="Number of full rounds.")
@click.option("--steady", type=float, help="Seconds of steady load afterward.")
@click.option("--engines", "real", is_flag=True, help="Run on MongoDB and Kafka, and break them, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to standard error.")
def main(
    is_long: bool, is_soak: bool, seed: int | None, rounds: int | None, steady: float | None, real: bool, as_json: bool
) -> None:
    """Inject faults into a platform of its own under load, and check the data afterward."""
    seed = random.randrange(10**6) if seed is None else seed
    share = 1.0 if is_long or is_soak or rounds else SHORT_SHARE
    rounds = rounds or (SOAK_ROUNDS if is_soak else 1)
    steady_s = (soak.DURATION_S if is_soak else 0.0) if steady is None else steady
    repeat = f"python -m tests.faults.chaos --seed {seed}" + (f" --rounds {rounds}" if share == 1.0 else "")
    repeat += (f" --steady {steady_s:g}" if steady_s else "") + (" --engines" if real else "")
    if real:
        os.environ[engines.WANTED] = "1"
    output = Output(as_json)
    output.print_line(f"seed {seed}: {rounds} rounds, {share:.0%} of the targets, {steady_s:g} s of steady load")
    chaos = ChaosRun(seed, rounds, share, output)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        shop = Shop(Path(folder), **SETTINGS)
        scenario = Scenario(shop, f"chaos-{seed}")
        try:
            shop.up()
            chaos.run(scenario)
            if steady_s:
                chaos.result["soak"] = soak.run(scenario, seed, steady_s, output.print_line)
        except Exception as error:
            chaos.result["failure"] = str(error) or repr(error)
            evidence = scenario.save_evidence()
            (evidence / "repeat.txt").write_text(f"{repeat}\n\n{chaos.result['failure']}\n")
            output.print_line(f"Evidence: {evidence}. To repeat:\n    {repeat}")
        finally:
            shop.down()
            engines.end()
    summary = {"seed": seed, "rounds": rounds, "took_s": round(time.monotonic() - began, 1), **chaos.result}
    if chaos.faults:
        output.table("Faults", durations_by_kind(chaos.faults))
    if as_json:
        print(json.dumps({**summary, "faults": chaos.faults}))
    else:
        output.table("Result", [{"": name, "value": value} for name, value in summary.items()])
    sys.exit(1 if "failure" in chaos.result else 0)


def durations_by_kind(faults: list[Row]) -> list[Row]:
    """Return a row for each kind of fault: its number, and how long the faults took to heal."""
    found: dict[str, list[float]] = {}
    for row in faults:
        found.setdefault(row["fault"].split()[0], []).append(row["took"] or 0.0)
    return [
        {"fault": name, "count": len(took), "median s": sorted(took)[len(took) // 2], "longest s": max(took)}
        for name, took in sorted(found.items())
    ]


if __name__ == "__main__":
    main()
