"""`make test`: every stage in turn, with the time it took; the names of stages run those alone.

`python tests/run.py engines` is `make test-engines`: all that can run on MongoDB and Kafka, and runs there.
"""

import subprocess
import sys
import time
from pathlib import Path

FILES = ["--dist", "loadfile", "--no-loadscope-reorder"]  # the long ones come first
STAGES = {
    "style": ["ruff", "check", "."],
    "imports": ["lint-imports"],
    "types": ["mypy"],
    "tests": ["pytest", "-n", "2", *FILES],
}
NO_ENGINE = ("system/test_launcher", "system/test_readme", "system/test_new", "system/test_router")
NO_ENGINE += ("faults/test_checker", "faults/test_mutants", "faults/test_soak", "faults/test_told")
"""Files that start no platform, or none of the real services."""
BUSY = ("faults/test_drain", "faults/test_race")
"""Those that keep two cores busy by themselves; in most others a process waits for another."""
APART = [f"--ignore=tests/{file}.py" for file in NO_ENGINE + BUSY]
ON_ENGINES = {
    "busy": ["pytest", "--engines", *(f"tests/{file}.py" for file in BUSY)],
    "others": ["pytest", "-n", "3", *FILES, "--engines", "tests/faults", "tests/contract", "tests/system", *APART],
}


def main(names: list[str]) -> int:
    failed = []
    stages, names = (ON_ENGINES, names[1:]) if names[:1] == ["engines"] else (STAGES, names)
    for name in names or stages:
        tool, *arguments = stages[name]
        print(f"== {name}", flush=True)
        started = time.monotonic()
        code = subprocess.run([Path(sys.executable).with_name(tool), *arguments], check=False).returncode
        print(f"== {name} {'failed' if code else 'passed'} in {time.monotonic() - started:.1f} s\n", flush=True)
        if code:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
