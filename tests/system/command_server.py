"""Runs `mercato` commands, each in a process forked from one that has imported them all: an import takes a second.

A line of JSON on standard input, {arguments, environment, folder, output, errors}, is one command; the answer is a line
with its exit code.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

from mercato.catalog import catalog
from mercato.cli import main

COMMANDS = ("audit", "operate", "sagas", "status")


def serve() -> None:
    """Run the commands of standard input until it ends."""
    for name in catalog():
        import_module(f"services.{name}.service")
    for module in (*(f"mercato.cli.{name}" for name in COMMANDS), "mercato.local.report", "services.users.cli"):
        import_module(module)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            run(**json.loads(line))
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(arguments: list[str], environment: dict[str, str], folder: str, output: str, errors: str) -> Any:
    """Run one command in this process, and end it."""
    code = 1
    try:
        for number, path in ((0, os.devnull), (1, output), (2, errors)):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        main(arguments, prog_name="mercato")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
