"""Notes each call of a route's function.

On the platform's PYTHONPATH, this is imported by the server that its processes are forks of. Each appends the
function's name to `$DATA_DIR/reached`, a line for each call, so that a test can tell the requests that reached a
handler from those that were refused before it.
"""

import os
import sys
from functools import wraps
from pathlib import Path
from typing import Any


def _install(path: Path) -> None:
    from chassis.web.api import Operation

    reached = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    declare = Operation.__init__

    def counted(function: Any) -> Any:
        line = f"{function.__name__}\n".encode()

        @wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            os.write(reached, line)
            return function(*args, **kwargs)

        return noted

    def declared(self: Any, method: str, path: str, who: str, function: Any, *rest: Any) -> None:
        declare(self, method, path, who, counted(function), *rest)

    Operation.__init__ = declared  # type: ignore[method-assign]


if "multiprocessing.forkserver" in sys.orig_argv[-1]:
    _install(Path(os.environ["DATA_DIR"]) / "reached")
