"""`make test`: every stage in turn, with the time it took; the names of stages run those alone."""

import subprocess
import sys
import time
from pathlib import Path

STAGES = {
    "style": ["ruff", "check", "."],
    "imports": ["lint-imports"],
    "types": ["mypy"],
    "tests": ["pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"],  # the long files come first
}


def main(names: list[str]) -> int:
    failed = []
    for name in names or STAGES:
        tool, *arguments = STAGES[name]
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
