"""Nothing grows: memory, descriptors and threads of every process under a steady load, early against late (I17).

Memory is the proportional set size of /proc/<pid>/smaps_rollup, so what processes share is counted once.
"""

import re
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.load import CLIENTS, Load
from tests.faults.replica import child_pids
from tests.faults.scenario import Scenario

LASTS = 1800.0
EVERY = 10.0
ORDERS_A_SECOND = 2.0
WINDOW = 1 / 6
"""Of the time: first it warms up, then comes the early window; the late one is at the end."""
MOST_GROWTH, MOST_BYTES = 0.10, 5 * 2**20
MOST_DESCRIPTORS, MOST_THREADS = 5, 2


@dataclass(frozen=True)
class Sample:
    """What one process holds at one moment: bytes, open descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


@dataclass
class Watch:
    """Samples of each process, with the seconds from the beginning at which they were taken."""

    processes: dict[str, int]
    samples: dict[str, list[tuple[float, Sample]]] = field(default_factory=dict)

    def look(self, at: float) -> None:
        for name, pid in self.processes.items():
            self.samples.setdefault(name, []).append((at, sample(pid)))

    def grown(self, lasts: float) -> list[str]:
        """What has grown by more than it may."""
        found = []
        for name in self.processes:
            early, late = self._median(name, lasts * WINDOW, lasts), self._median(name, lasts * (1 - WINDOW), lasts)
            more = late.memory - early.memory
            if more > MOST_BYTES or more > early.memory * MOST_GROWTH:
                found.append(f"I17 {name}: memory from {early.memory >> 10} to {late.memory >> 10} KiB")
            if late.descriptors > early.descriptors + MOST_DESCRIPTORS:
                found.append(f"I17 {name}: descriptors from {early.descriptors} to {late.descriptors}")
            if late.threads > early.threads + MOST_THREADS:
                found.append(f"I17 {name}: threads from {early.threads} to {late.threads}")
        return found

    def table(self, lasts: float) -> dict[str, Any]:
        """Process -> early and late medians."""
        return {
            name: {
                "early": vars(self._median(name, lasts * WINDOW, lasts)),
                "late": vars(self._median(name, lasts * (1 - WINDOW), lasts)),
            }
            for name in self.processes
        }

    def _median(self, name: str, begins: float, lasts: float) -> Sample:
        window = [each for at, each in self.samples[name] if begins <= at <= begins + lasts * WINDOW]
        values = zip(*((each.memory, each.descriptors, each.threads) for each in window), strict=True)
        return Sample(*(int(statistics.median(value)) for value in values))


def run(scenario: Scenario, seed: int, lasts: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Shop steadily for so many seconds. AssertionError where a process has grown."""
    load = Load(scenario, seed + 1, CLIENTS, CLIENTS / ORDERS_A_SECOND)
    watch = Watch(processes(scenario))
    began, pause = time.monotonic(), threading.Event()
    with load.running():
        while (at := time.monotonic() - began) < lasts:
            watch.look(at)
            pause.wait(EVERY)
    grown = watch.grown(lasts)
    assert not grown, "\n".join(grown)
    scenario.assert_consistent()
    say(f"{load.placed} orders in {lasts:g} s, and no process has grown")
    return {"orders": load.placed, "processes": watch.table(lasts)}


def processes(scenario: Scenario) -> dict[str, int]:
    """Every process of the platform by name."""
    found = {}
    for each in scenario.shop.run()["processes"]:
        name = f"{each['name']} {each['kind']}" if each["kind"] != "router" else "router"
        found[name] = each["pid"]
        for child in child_pids(each["pid"]) if each["kind"] == "web" else []:
            found[f"{each['name']} master"], found[name] = each["pid"], child
    return found


def sample(pid: int) -> Sample:
    """What a process holds now."""
    folder = Path(f"/proc/{pid}")
    memory = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
    threads = re.search(r"^Threads:\s+(\d+)", (folder / "status").read_text(), re.MULTILINE)
    assert memory and threads
    return Sample(int(memory[1]) * 1024, len(list((folder / "fd").iterdir())), int(threads[1]))
