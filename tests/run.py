"""Named stages of checks, and plans of them: `make lint`, `make test`, `make test-engines`, `make nightly` and CI.

    python tests/run.py test             every stage that needs no engine, cluster or tool
    python tests/run.py ci --kit DIR     all that must pass before a change lands
    python tests/run.py style types      single stages

A plan is a list of groups that run one after the other; the lanes of a group run side by side. The last lines list each
stage with its time and budget (the table in CONTRIBUTING.md) and, for each failed test, the command that repeats it.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
BIN = (
    Path(sys.executable).parent.relative_to(ROOT)
    if Path(sys.executable).is_relative_to(ROOT)
    else Path(sys.prefix, "bin")
)
BUDGET = re.compile(r"^\| `([\w-]+)` \|.*\| (\d+) s \|$", re.MULTILINE)
FAILED = re.compile(r"^(?:\x1b\[\d+m)*(?:FAILED|ERROR)(?:\x1b\[\d+m)* (tests/\S+?\.py(?:::\S+)?)", re.MULTILINE)
OVERRUN = 1.5
"""Times its budget beyond which the line of a stage is printed in red."""
RED, GREEN, RESET = "\x1b[31m", "\x1b[32m", "\x1b[0m"

_BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
SIDE_BY_SIDE, BY_TWO = ("-n", "4", *_BY_FILE), ("-n", "2", *_BY_FILE)
"""For pytest-xdist: a file stays together, in the order of collection, which starts the long ones first. More processes
than cores, because most tests wait: for leases, restarts and elections."""
NO_ENGINE = tuple(
    f"tests/{name}.py"
    for name in (
        "contract/test_contracts",
        "system/test_launcher",
        "system/test_readme",
        "system/test_new",
        "system/test_router",
        "system/test_addresses",
        "system/test_overload",
        "system/test_reload",
        "faults/test_checker",
        "faults/test_price_changes",
        "faults/test_mutants",
        "faults/test_soak",
        "faults/test_history",
    )
)
"""Files that start no platform, or none of the real services: they run on no engine."""
BUSY = ("tests/faults/test_drain.py", "tests/faults/test_race.py")
"""Files whose tests keep both cores busy: they run alone."""


@dataclass(frozen=True)
class Stage:
    """One command. `tool` is in the virtual environment unless it is a path or `make`."""

    tool: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        own = "/" in self.tool or self.tool == "make"
        return [self.tool if own else str(BIN / self.tool), *self.arguments]

    def repeat(self, test: str) -> str:
        """The shell command that runs one failed test of this stage again."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        options = [option for option in ("--engines", "--nightly") if option in self.arguments]
        return " ".join([*settings, str(BIN / "pytest"), *options, test])


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: its exit code, seconds, and the ids of the tests that failed."""

    name: str
    code: int
    took_s: float
    failed: tuple[str, ...]


def stages(kit: Path | None) -> dict[str, Stage]:
    """Every stage by its name; those that need engines or tools find them in the folder `kit`."""
    engines = {"ENGINES": str(kit / "engines")} if kit else {}
    on_engines = ("--engines", "tests/faults", "tests/contract", "tests/system")
    not_on_engines = tuple(f"--ignore={file}" for file in (*NO_ENGINE, *BUSY))
    return {
        "style": Stage("ruff", ("check", ".")),
        "spelling": Stage("codespell"),
        "format": Stage("ruff", ("format", "--check", ".")),
        "imports": Stage("lint-imports"),
        "types": Stage("mypy"),
        "tests": Stage("pytest", SIDE_BY_SIDE),
        "chart": Stage("pytest", ("tests/charts",)),
        "observability": Stage("pytest", (*BY_TWO, "tests/observability")),
        "browser": Stage("pytest", ("tests/browser",)),
        "browser-long": Stage("pytest", ("--nightly", "tests/browser")),
        "engines-busy": Stage("pytest", ("--engines", *BUSY), engines),
        "engines": Stage("pytest", (*SIDE_BY_SIDE, *on_engines, *not_on_engines), engines),
        "engines-all": Stage("pytest", (*SIDE_BY_SIDE, "--nightly", *on_engines, *not_on_engines), engines),
        "engines-busy-all": Stage("pytest", ("--engines", "--nightly", *BUSY), engines),
        "outages": Stage("pytest", (*BY_TWO, "tests/outages"), engines),
        "outages-long": Stage("pytest", ("--nightly", "tests/outages"), engines),
        "docker": Stage(".ci/docker", (str(kit),)),
        "containers": Stage("pytest", ("tests/containers",), {"DOCKER": "/usr/bin/docker"}),
        "cluster": Stage(".ci/cluster", (str(kit),)),
        "cluster-long": Stage(".ci/cluster", (str(kit),), {"NIGHTLY": "1"}),
        "hostile": Stage("pytest", ("tests/hostile",)),
        "hostile-long": Stage("pytest", ("--nightly", "tests/hostile")),
        "mutants": Stage("python", ("-m", "tests.faults.mutants")),
        "upstreams": Stage("python", ("-m", "tests.faults.upstreams", "--seconds", "6")),
        "chaos": Stage("python", ("-m", "tests.faults.chaos")),
        "mixed": Stage("python", ("-m", "tests.faults.mixed")),
        "mixed-pairs": Stage("python", ("-m", "tests.faults.mixed", "--pairs")),
        "mixed-engines": Stage("python", ("-m", "tests.faults.mixed", "--engines"), engines),
        "soak": Stage("make", ("--no-print-directory", "soak")),
        "bench": Stage("python", ("-m", "tests.bench", "--short"), engines),
        "bench-long": Stage("python", ("-m", "tests.bench"), engines),
    }


CHECKS = [[["style", "format", "spelling", "imports", "types"]]]
PLANS = {
    "lint": CHECKS,
    "test": [*CHECKS, [["tests"]]],
    "engines": [[["engines-busy", "engines"]]],
    "ci": [
        [*CHECKS[0], ["tests"]],
        [["engines-busy", "engines"]],
        [
            ["docker", "containers", "cluster"],
            ["outages", "mixed", "browser"],
            ["observability", "mutants", "chart", "hostile", "chaos", "upstreams"],
        ],
        [["bench"]],
    ],
    "nightly": [
        [["engines-busy-all", "engines-all"]],
        [["outages-long"]],
        [["hostile-long"]],
        [["browser-long"]],
        [["mixed-pairs", "mixed-engines"]],
        [["soak"]],
        [["bench-long"]],
    ],
}


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--kit", type=click.Path(path_type=Path, exists=True), help="The folder with engines and tools for tests."
)
def main(names: tuple[str, ...], kit: Path | None) -> None:
    """Run these plans or stages; exit 1 if one fails."""
    known = stages(kit.resolve() if kit else None)
    unknown = [name for name in names if name not in PLANS and name not in known]
    if unknown:
        raise click.UsageError(f"no plan or stage {unknown[0]!r}; there are {', '.join((*PLANS, *known))}")
    groups = list(chain.from_iterable(PLANS.get(name, [[[name]]]) for name in names))
    started = time.monotonic()
    outcomes = list(chain.from_iterable(_run_group(group, known) for group in groups))
    for line in report(outcomes, known, budgets()):
        click.echo(line)
    click.echo(f"{(time.monotonic() - started) / 60:.1f} minutes")
    sys.exit(1 if any(outcome.code for outcome in outcomes) else 0)


def budgets() -> dict[str, int]:
    """Stage -> seconds, as CONTRIBUTING.md lists them."""
    return {name: int(seconds) for name, seconds in BUDGET.findall((ROOT / "CONTRIBUTING.md").read_text())}


def report(outcomes: Iterable[Outcome], known: dict[str, Stage], allowed: dict[str, int]) -> Iterator[str]:
    """The closing lines: a line for each stage, and a command for each failed test."""
    outcomes = list(outcomes)
    yield ""
    for each in outcomes:
        budget = allowed.get(each.name)
        over = budget is not None and each.took_s > OVERRUN * budget
        verdict = "failed" if each.code else "passed"
        limit = f" of {budget} s" if budget is not None else ""
        note = " OVER BUDGET" if over else ""
        color = RED if each.code or over else GREEN
        yield f"{color}{each.name:15} {verdict} {each.took_s:7.1f} s{limit}{note}{RESET}"
    for each in outcomes:
        for test in each.failed:
            yield f"{RED}failed{RESET} {test}\n  again: {known[each.name].repeat(test)}"
        if each.code and not each.failed:
            yield f"{RED}failed{RESET} {each.name}\n  again: {' '.join(known[each.name].command)}"


def _run_group(lanes: list[list[str]], known: dict[str, Stage]) -> list[Outcome]:
    alone = len(lanes) == 1
    with ThreadPoolExecutor(len(lanes)) as pool:
        done = pool.map(lambda lane: [_run_stage(name, known[name], alone) for name in lane], lanes)
        return list(chain.from_iterable(done))


def _run_stage(name: str, stage: Stage, alone: bool) -> Outcome:
    """Run one stage. Its output is shown as it comes or, beside other stages, when it has ended."""
    started = time.monotonic()
    print(f"== {name}", flush=True)
    process = subprocess.Popen(
        stage.command,
        cwd=ROOT,
        env=os.environ | stage.environment | ({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert process.stdout is not None
    output = []
    for line in process.stdout:
        output.append(line)
        if alone:
            print(line, end="", flush=True)
    code, text = process.wait(), "".join(output)
    took_s = time.monotonic() - started
    shown = "" if alone else text
    print(f"{shown}== {name} {'failed' if code else 'passed'} in {took_s:.1f} s\n", flush=True)
    return Outcome(name, code, took_s, tuple(dict.fromkeys(FAILED.findall(text))))


if __name__ == "__main__":
    main()
