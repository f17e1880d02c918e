"""Soak test: memory, descriptors and threads of every process stay constant under a steady load (I17).

Memory is the proportional set size (PSS) of /proc/<pid>/smaps_rollup, which counts shared pages once.
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

DURATION_S = 1800.0
SAMPLE_INTERVAL_S = 10.0
ORDERS_PER_S = 2.0
WINDOW = 1 / 6
"""Share of the duration: the first window is the warm-up, the second is the early one, the last is the late one."""
MAX_GROWTH, MAX_GROWTH_BYTES = 0.10, 5 * 2**20
MAX_MORE_DESCRIPTORS, MAX_MORE_THREADS = 5, 2


@dataclass(frozen=True)
class Sample:
    """What one process uses at one moment: memory in bytes, open descriptors, threads."""

    memory: int
    descriptors: int
    threads: int


@dataclass
class Monitor:
    """Samples of each process, each with the seconds from the start at which it was taken."""

    processes: dict[str, int]
    samples: dict[str, list[tuple[float, Sample]]] = field(default_factory=dict)

    def sample_all(self, at: float) -> None:
        for name, pid in self.processes.items():
            self.samples.setdefault(name, []).append((at, sample(pid)))

    def growth(self, duration_s: float) -> list[str]:
        """Return a line for everything that has grown by more than its limit."""
        found = []
        for name, medians in self.medians(duration_s).items():
            early, late = medians["early"], medians["late"]
            more = late.memory - early.memory
            if more > MAX_GROWTH_BYTES or more > early.memory * MAX_GROWTH:
                found.append(f"I17 {name}: memory from {early.memory >> 10} to {late.memory >> 10} KiB")
            if late.descriptors > early.descriptors + MAX_MORE_DESCRIPTORS:
                found.append(f"I17 {name}: descriptors from {early.descriptors} to {late.descriptors}")
            if late.threads > early.threads + MAX_MORE_THREADS:
                found.append(f"I17 {name}: threads from {early.threads} to {late.threads}")
        return found

    def medians(self, duration_s: float) -> dict[str, dict[str, Sample]]:
        """Return process -> median of the early and of the late window."""
        starts = {"early": duration_s * WINDOW, "late": duration_s * (1 - WINDOW)}
        return {
            name: {window: self._median(name, start, duration_s) for window, start in starts.items()}
            for name in self.processes
        }

    def _median(self, name: str, start: float, duration_s: float) -> Sample:
        window = [each for at, each in self.samples[name] if start <= at <= start + duration_s * WINDOW]
        values = zip(*((each.memory, each.descriptors, each.threads) for each in window), strict=True)
        return Sample(*(int(statistics.median(value)) for value in values))


def run(scenario: Scenario, seed: int, duration_s: float, print_line: Callable[[str], None]) -> dict[str, Any]:
    """Run a steady load.

    Raises:
        AssertionError: a process has grown.
    """
    load = Load(scenario, seed + 1, CLIENTS, CLIENTS / ORDERS_PER_S)
    monitor = Monitor(processes(scenario))
    began, pause = time.monotonic(), threading.Event()
    with load.running():
        while (at := time.monotonic() - began) < duration_s:
            monitor.sample_all(at)
            pause.wait(SAMPLE_INTERVAL_S)
    growth = monitor.growth(duration_s)
    assert not growth, "\n".join(growth)
    scenario.assert_consistent()
    print_line(f"{load.placed} orders in {duration_s:g} s, and no process has grown")
    medians = {
        name: {window: vars(median) for window, median in windows.items()}
        for name, windows in monitor.medians(duration_s).items()
    }
    return {"orders": load.placed, "processes": medians}


def processes(scenario: Scenario) -> dict[str, int]:
    """Return name -> pid of every process of the platform."""
    found = {}
    for each in scenario.shop.run()["processes"]:
        name = f"{each['name']} {each['kind']}" if each["kind"] != "router" else "router"
        found[name] = each["pid"]
        for child in child_pids(each["pid"]) if each["kind"] == "web" else []:
            found[f"{each['name']} master"], found[name] = each["pid"], child
    return found


def sample(pid: int) -> Sample:
    """Return what a process uses now."""
    folder = Path(f"/proc/{pid}")
    memory = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
    threads = re.search(r"^Threads:\s+(\d+)", (folder / "status").read_text(), re.MULTILINE)
    assert memory and threads
    return Sample(int(memory[1]) * 1024, len(list((folder / "fd").iterdir())), int(threads[1]))
