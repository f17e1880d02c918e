"""Records each call of a route's handler.

The fork server of the platform imports this from its PYTHONPATH. Each process appends the name of the handler to
`$DATA_DIR/reached`, one line per call, so that a test can count the requests that reached a handler.
"""

import os
import sys
from functools import wraps
from pathlib import Path
from typing import Any


def _install(path: Path) -> None:
    from chassis.web.api import Operation

    reached = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    original = Operation.__init__

    def recorded(function: Any) -> Any:
        line = f"{function.__name__}\n".encode()

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            os.write(reached, line)
            return function(*args, **kwargs)

        return wrapper

    def declare(self: Any, method: str, path: str, auth: str, function: Any, *rest: Any) -> None:
        original(self, method, path, auth, recorded(function), *rest)

    Operation.__init__ = declare  # type: ignore[method-assign]


if "multiprocessing.forkserver" in sys.orig_argv[-1]:
    _install(Path(os.environ["DATA_DIR"]) / "reached")
