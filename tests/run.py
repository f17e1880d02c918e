"""`make test`: every stage in turn, with the time it took; the names of stages run those alone.

`python tests/run.py engines` is `make test-engines`: all that can run on MongoDB and Kafka, and runs there.
"""

import subprocess
import sys
import time
from pathlib import Path

PYTEST = ["pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]  # the long files come first
STAGES = {
    "style": ["ruff", "check", "."],
    "imports": ["lint-imports"],
    "types": ["mypy"],
    "tests": PYTEST,
}
NO_ENGINE = ("system/test_launcher", "system/test_readme", "system/test_new", "system/test_router")
NO_ENGINE += ("faults/test_checker", "faults/test_mutants", "faults/test_soak", "faults/test_told")
LEFT_OUT = [f"--ignore=tests/{file}.py" for file in NO_ENGINE]
"""Files that start no platform, or none of the real services."""
ON_ENGINES = {
    "contract": [*PYTEST, "tests/contract"],
    "faults": ["pytest", "tests/on_engines"],
    "crashes": ["pytest", "--engines", "tests/faults", *LEFT_OUT],  # one platform at a time: each keeps two cores busy
    "system": [*PYTEST, "--engines", "tests/system", *LEFT_OUT],
    "chaos": ["python", "-m", "tests.faults.chaos", "--engines"],
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
