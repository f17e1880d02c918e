"""Mutation test: plants known mistakes in a copy of the code; the test that owns each mistake must fail.

    python -m tests.faults.mutants [NAME ...]

`mutants/NN-name.patch` is a diff against the tree, below two lines that name the mistake and the test. A mutant is
caught when its test fails by an assertion: an error in collection, a fixture, or the mutant itself does not count. All
tests first run without a mutant and must pass.
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
PROCESSES = 3
"""More than cores: some tests wait."""
TEST_TIMEOUT_S = 120.0
_FAULTY_MUTANT = re.compile(r"^E +(NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError)", re.MULTILINE)
_SUMMARY = re.compile(r"(\d+) (failed|error)")


@dataclass(frozen=True)
class Mutant:
    """A patch and its header."""

    name: str
    mistake: str
    test: str
    path: Path

    @classmethod
    def read(cls, path: Path) -> "Mutant":
        head = dict(re.findall(r"^(Mistake|Test): (.+)$", path.read_text(), re.MULTILINE))
        return cls(path.stem, head["Mistake"], head["Test"], path)


def mutants(names: Iterable[str] = ()) -> list[Mutant]:
    """Return the mutants whose names start with one of these; all mutants if there is none."""
    prefixes = tuple(names)
    found = [Mutant.read(path) for path in sorted(FOLDER.glob("*.patch"))]
    return [mutant for mutant in found if not prefixes or mutant.name.startswith(prefixes)]


def why_not_caught(mutant: Mutant, tree: Path) -> str:
    """Return why the mutant was not caught, "" if it was."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = shutil.copytree(tree, Path(folder) / "tree")
        command = ["git", "apply", "--whitespace=nowarn", str(mutant.path)]
        environment = os.environ | {"GIT_CEILING_DIRECTORIES": folder}
        applied = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        if applied.returncode:
            return f"its patch does not apply: {applied.stderr.strip()}"
        code, output = run_tests(copy, [mutant.test])
        counts = [what for _, what in _SUMMARY.findall(output.rstrip().rpartition("\n")[2])]
        if code != 1 or counts != ["failed"]:
            return f"its test does not fail, but ends with {code}:\n{output[-2000:]}"
        return f"the mutant itself is faulty: {fault[0]}" if (fault := _FAULTY_MUTANT.search(output)) else ""


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """Run these tests in this tree; return pytest's exit code (-1 after a timeout) and output."""
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # a quarter of the time
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-p", "pytest_timeout", *tests]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TEST_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {TEST_TIMEOUT_S:g} s"
    return done.returncode, done.stderr + done.stdout


def copy_tree(folder: Path) -> Path:
    """Copy the working tree, without what git ignores, to a folder; return it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def main(names: list[str]) -> int:
    """Run the mutants and print a line for each; return the exit code."""
    chosen = mutants(names)
    if not chosen:
        print(f"no mutant is named {' '.join(names)}")
        return 2
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy_tree(Path(folder))
        with ThreadPoolExecutor(PROCESSES) as pool:
            unchanged = pool.submit(run_tests, tree, sorted({mutant.test for mutant in chosen}))
            results = pool.map(lambda mutant: (mutant, why_not_caught(mutant, tree)), chosen)
            code, output = unchanged.result()
            if code:
                pool.shutdown(cancel_futures=True)
                print(f"the tests fail without any mutant:\n{output}")
                return 1
            survivors = 0
            for mutant, why in results:
                survivors += bool(why)
                print(f"{'SURVIVED' if why else 'caught  '}  {mutant.name}: {mutant.mistake}", flush=True)
                if why:
                    print(f"          {why}")
    print(f"{len(chosen) - survivors} of {len(chosen)} mutants were caught in {time.monotonic() - began:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
