"""A storm: every process killed, stopped, starved and slowed in turn, while clients shop; then all that was accepted
is final within a minute, and no invariant is violated.

    python -m tests.faults.chaos [--seed N] [--soak] [--engines] [--json]

The seed says what is broken in which order, and what the clients ask for. With --soak the storm lasts longer, and is
followed by a steady load under which no process may grow (`tests.faults.soak`).
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
from tests.faults.schedule import LEASE, schedule
from tests.system.platform import Shop, eventually
from tests.system.running import ROOT

SHORT, LONG = (1, 60), (5, 300)
"""Rounds of faults, and orders."""
A_ROUND = 150.0
"""About how many seconds a round takes."""
INJECT = os.pathsep.join((str(Path(__file__).parent / "inject"), str(ROOT)))
SETTINGS = {
    "PYTHONPATH": INJECT,
    "RATE_LIMITS": "off",
    "LEASE": f"{LEASE:g}",
    "RESERVATION": "8",
    "ACCESS_TOKEN": "86400",
}
Said = dict[str, Any]


@dataclass
class Storm:
    """One run: its seed, and what came of it."""

    seed: int
    rounds: int
    orders: int
    screen: "Screen"
    faults: list[Said] = field(default_factory=list)
    result: Said = field(default_factory=dict)

    def over(self, scenario: Scenario) -> None:
        """Break everything in turn while clients shop, then judge. AssertionError where something is not as it must."""
        plan = schedule(self.seed, self.rounds, scenario.shop.engines is not None)
        load = Load(scenario, self.seed, self.orders, self.rounds * A_ROUND)
        damage = FaultInjector(scenario, Shopper(scenario, Random(f"{self.seed}/damage"), load.products))
        began = time.monotonic()
        with load.running(), self.screen.watching(len(plan)) as step:
            for fault in plan:
                time.sleep(fault.peace)  # as the schedule says
                at = time.monotonic()
                self.faults.append({"fault": str(fault), "at": round(at - began, 1), "took": None})
                damage.do(fault)
                self.faults[-1]["took"] = round(time.monotonic() - at, 1)
                step(self.faults[-1])
        self.assert_consistent(scenario, load)

    def assert_consistent(self, scenario: Scenario, load: Load) -> None:
        """All that was accepted is final within a minute, and everything holds."""
        began = time.monotonic()
        promised = history.accepted_orders(scenario.history)
        eventually(lambda: not unended(scenario, promised), SETTLE_TIMEOUT_S)
        took = round(time.monotonic() - began, 1)
        self.screen.say(f"{len(promised)} accepted orders were final {took} s after the last answer")
        for shopper in load.shoppers:
            shopper.look_at_all()
        scenario.assert_consistent()
        audit = scenario.shop.mercato("audit", "--json")
        assert audit.returncode == 0, f"mercato audit does not agree with the checker:\n{audit.stdout}{audit.stderr}"
        statuses = Counter(
            checker.fold(commits)["status"]
            for commits in checker.event_streams(dump.read(scenario.shop.place)).values()
        )
        answers = Counter(str(line.get("status", "no answer")) for line in scenario.history if line["op"] == "order")
        self.result |= {
            "orders": load.placed,
            "accepted": len(promised),
            "final_after_s": took,
            "audited": json.loads(audit.stdout.splitlines()[-1])["checked"],
            "statuses": dict(sorted(statuses.items())),
            "answers": dict(sorted(answers.items())),
        }


def unended(scenario: Scenario, orders: set[str]) -> set[str]:
    """Those of these orders that are not final, as their streams tell it."""
    streams = checker.event_streams(dump.read_store(scenario.shop.place, "orders", "streams"))
    return {id for id in orders if id not in streams or checker.fold(streams[id])["status"] not in checker.FINAL}


class Screen:
    """Where people look: a bar on a terminal, else a line for each fault; with `quiet`, nothing on standard output."""

    def __init__(self, quiet: bool) -> None:
        self._console = Console(stderr=quiet, soft_wrap=True, highlight=False)

    def say(self, line: str) -> None:
        self._console.print(line)

    @contextmanager
    def watching(self, steps: int) -> Iterator[Any]:
        """Show each of so many faults as it is over."""
        with Progress(console=self._console, disable=not self._console.is_terminal) as bar:
            task = bar.add_task("faults", total=steps)

            def step(said: Said) -> None:
                bar.advance(task)
                bar.console.print(f"{said['at']:7.1f} s  {said['fault']}, healed after {said['took']} s")

            yield step

    def table(self, title: str, rows: list[Said]) -> None:
        table = Table(*rows[0], title=title)
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        self._console.print(table)


@click.command()
@click.option("--soak", "long", is_flag=True, help="Five rounds, 300 orders, then 30 minutes of steady load.")
@click.option("--seed", type=int, help="Break the same things in the same order as an earlier run.")
@click.option("--rounds", type=int, help="So many rounds of faults.")
@click.option("--steady", type=float, help="So many seconds of steady load afterwards.")
@click.option("--engines", "real", is_flag=True, help="Run on MongoDB and Kafka, and break them too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; everything else goes to standard error.")
def main(long: bool, seed: int | None, rounds: int | None, steady: float | None, real: bool, as_json: bool) -> None:
    """Let a storm of faults loose on a platform of its own, and check what is left."""
    seed = random.randrange(10**6) if seed is None else seed
    turns, orders = LONG if long else SHORT
    turns = turns if rounds is None else rounds
    lasts = (soak.LASTS if long else 0.0) if steady is None else steady
    again = f"python -m tests.faults.chaos --seed {seed} --rounds {turns}" + (f" --steady {lasts:g}" if lasts else "")
    if real:
        again += " --engines"
        os.environ[engines.WANTED] = "1"
    screen = Screen(as_json)
    screen.say(f"seed {seed}: {turns} rounds, {orders} orders" + (f", {lasts:g} s of steady load" if lasts else ""))
    storm = Storm(seed, turns, orders, screen)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        shop = Shop(Path(folder), **SETTINGS)
        scenario = Scenario(shop, f"chaos-{seed}")
        try:
            shop.up()
            storm.over(scenario)
            if lasts:
                storm.result["soak"] = soak.run(scenario, seed, lasts, screen.say)
        except Exception as error:
            storm.result["failure"] = str(error) or repr(error)
            kept = scenario.save_evidence()
            (kept / "again.txt").write_text(f"{again}\n\n{storm.result['failure']}\n")
            screen.say(f"The evidence is in {kept}. To run it again:\n    {again}")
        finally:
            shop.down()
            engines.end()
    summary = {"seed": seed, "rounds": turns, "took_s": round(time.monotonic() - began, 1), **storm.result}
    if storm.faults:
        screen.table("Faults", kinds(storm.faults))
    if as_json:
        print(json.dumps({**summary, "faults": storm.faults}))
    else:
        screen.table("Result", [{"": name, "value": value} for name, value in summary.items()])
    sys.exit(1 if "failure" in storm.result else 0)


def kinds(faults: list[Said]) -> list[Said]:
    """How many faults of each kind there were, and how long they took to heal."""
    found: dict[str, list[float]] = {}
    for said in faults:
        found.setdefault(said["fault"].split()[0], []).append(said["took"] or 0.0)
    return [
        {"fault": name, "times": len(took), "median s": sorted(took)[len(took) // 2], "longest s": max(took)}
        for name, took in sorted(found.items())
    ]


if __name__ == "__main__":
    main()
