"""Counts the store operations and calls of a process.

With this folder on the platform's PYTHONPATH, Python imports this file in the fork server of the platform's processes.
Each operation appends a line to `$DATA_DIR/work.<service>-<kind>`: insert, update, delete, get, find, or exchange.
"""

import os
import sys
from functools import cache
from multiprocessing import current_process
from pathlib import Path
from typing import Any


def _install(data_dir: Path) -> None:
    from chassis.calls.transport import Transport
    from chassis.store.sqlite.store import SqliteStore

    @cache
    def file() -> int:
        return os.open(data_dir / f"work.{current_process().name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def count(owner: Any, method: str) -> None:
        original = getattr(owner, method)

        def counted(*args: Any, **kwargs: Any) -> Any:
            os.write(file(), f"{method}\n".encode())
            return original(*args, **kwargs)

        setattr(owner, method, counted)

    for method in ("insert", "update", "delete", "get", "find"):
        count(SqliteStore, method)
    count(Transport, "exchange")


if "multiprocessing.forkserver" in sys.orig_argv[-1]:
    _install(Path(os.environ["DATA_DIR"]))
