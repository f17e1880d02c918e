"""Mutants: mistakes that other platforms make, planted in a copy of the code; the test that owns each must see it.

    python -m tests.faults.mutants [NAME ...]

`mutants/NN-name.patch` is a diff against the tree, under two lines that say what the mistake is and which test owns it.
A mutant is caught when that test fails: not when it cannot be collected, breaks in its fixtures, or trips over a slip
in the mutant itself. The tests are first run without any mistake, and must pass.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.system.running import ROOT

FOLDER = Path(__file__).parent / "mutants"
AT_ONCE = 2
PATIENCE = 120.0
"""Seconds for one run of tests."""
_SLIP = re.compile(r"^E +(NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError)", re.MULTILINE)
_SUMMARY = re.compile(r"(\d+) (failed|error)")


@dataclass(frozen=True)
class Mutant:
    """A patch, and what its head says."""

    name: str
    mistake: str
    test: str
    path: Path

    @classmethod
    def read(cls, path: Path) -> "Mutant":
        head = dict(re.findall(r"^(Mistake|Test): (.+)$", path.read_text(), re.MULTILINE))
        return cls(path.stem, head["Mistake"], head["Test"], path)


def mutants(names: Iterable[str] = ()) -> list[Mutant]:
    """Those whose name begins with one of these; all of them where none is given."""
    wanted = tuple(names)
    found = [Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))]
    return [mutant for mutant in found if not wanted or mutant.name.startswith(wanted)]


def escaped(mutant: Mutant, tree: Path) -> str:
    """Why this mutant was not caught, "" where it was."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = shutil.copytree(tree, Path(folder) / "tree")
        command = ["git", "apply", "--whitespace=nowarn", str(mutant.path)]
        ceiling = os.environ | {"GIT_CEILING_DIRECTORIES": folder}
        applied = subprocess.run(command, cwd=copy, env=ceiling, capture_output=True, text=True)
        if applied.returncode:
            return f"its patch no longer applies: {applied.stderr.strip()}"
        code, said = run(copy, [mutant.test])
        counts = [what for _, what in _SUMMARY.findall(said.rstrip().rpartition("\n")[2])]
        if code != 1 or counts != ["failed"]:
            return f"its test does not fail, but ends with {code}:\n{said[-2000:]}"
        return f"its test fails by a slip of the mutant: {slip[0]}" if (slip := _SLIP.search(said)) else ""


def run(tree: Path, tests: list[str]) -> tuple[int, str]:
    """pytest's exit code and output for these tests in this tree."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {PATIENCE:g} s"
    return done.returncode, done.stderr + done.stdout


def copied(folder: Path) -> Path:
    """The tree as it is on the disk, without what git ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def main(names: list[str]) -> int:
    chosen = mutants(names)
    if not chosen:
        print(f"there is no mutant {' '.join(names)}")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copied(Path(folder))
        code, said = run(tree, sorted({mutant.test for mutant in chosen}))
        if code:
            print(f"the tests fail without any mutant:\n{said}")
            return 1
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = pool.map(lambda mutant: (mutant, escaped(mutant, tree)), chosen)
            alive = 0
            for mutant, why in results:
                alive += bool(why)
                print(f"{'ESCAPED' if why else 'caught '}  {mutant.name}: {mutant.mistake}", flush=True)
                if why:
                    print(f"         {why}")
    print(f"{len(chosen) - alive} of {len(chosen)} mutants were caught in {time.monotonic() - began:.0f} s")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
